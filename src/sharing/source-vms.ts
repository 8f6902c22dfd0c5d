/**
 * The VMs of a group that are still at the source: whether each runs, and for which pages it waits.
 *
 * Owns: their states, as plain data. Pure. Must hold (R4):
 * - the first access of a running VM to a page that is not here stops it, once;
 * - a VM that was continued here after that, because its migration failed, is stopped for good the next time: so the
 *   number of stops, and with it the number of pages that are lent, has a bound;
 * - a page for which a VM has waited stays here until that VM stands: without this a page could be taken away again
 *   before the access was made, for ever.
 *
 *   running ── accessed ──▶ stopping ── vmStopped ──▶ stopped ── vmLeft ──▶ left
 *      ▲ └──────────────── vmStopped ───────────────────▲ │
 *      └──────────────────── vmContinued ─────────────────┘
 */
import type { PageIndex } from '../base/page.ts';
import { type ActionList, type RegionRefusal, refuse, type SourceAction } from './region-words.ts';

export interface SourceVm {
  readonly vm: string;
  /**
   * A stop comes back also while a vCPU waits in a fault; the access is made at the destination. So it is with KVM. With
   * TCG the access has to be made first: the page is lent.
   */
  readonly canStopInFault: boolean;
}

export interface VmAtSource extends SourceVm {
  phase: 'running' | 'stopping' | 'stopped' | 'left';
  /** How often an access has stopped it. */
  stopsByAccess: number;
  /** Its stop, or the saving of its state, does not come to an end: it gets what it waits for, as with TCG. */
  overdue: boolean;
  /** Pages that it found missing since it last ran or was stopped. */
  readonly waitsFor: Set<PageIndex>;
}

/** Which access stopped which VM (R4). */
export interface StoppingAccess {
  readonly vm: string;
  readonly page: PageIndex;
  readonly atMs: number;
}

/** It was stopped by an access, continued, and stopped by an access again. */
export function isStoppedForGood({ stopsByAccess }: VmAtSource): boolean {
  return stopsByAccess > 1;
}

export function openVms(vms: readonly SourceVm[]): VmAtSource[] {
  return vms.map((each) => ({ ...each, phase: 'running', stopsByAccess: 0, overdue: false, waitsFor: new Set() }));
}

/** Notes that the VM found a page missing; true when the page has to be lent for it. */
export function noteAccess(vm: VmAtSource, page: PageIndex, into: ActionList<SourceAction>): boolean {
  vm.waitsFor.add(page);
  if (vm.phase === 'running') {
    vm.phase = 'stopping';
    vm.stopsByAccess++;
    into.push({ kind: 'stopVm', vm: vm.vm, forGood: isStoppedForGood(vm) });
  }
  return !vm.canStopInFault || vm.overdue;
}

/** How many pages a VM has missed since the access that stops it; 0 where it stands, or nothing has stopped it. */
export function missedWhileStopping(vms: readonly VmAtSource[], name: string): number {
  return vms.find(({ vm, phase }) => vm === name && phase === 'stopping')?.waitsFor.size ?? 0;
}

/** The VM stands, is gone, or runs again: it waits for nothing. Gives the pages that it waited for. */
export function moveVm(vm: VmAtSource, event: 'vmStopped' | 'vmLeft' | 'vmContinued'): PageIndex[] | RegionRefusal {
  const { phase } = vm;
  if (event === 'vmContinued') {
    if (phase !== 'stopped') return refuse(`VM ${vm.vm} was continued while it was ${phase}`);
    if (isStoppedForGood(vm)) return refuse(`VM ${vm.vm} was continued and had been stopped for good`);
    vm.phase = 'running';
    vm.overdue = false;
  } else if (event === 'vmStopped') {
    if (phase === 'left') return refuse(`VM ${vm.vm} was stopped after it had left`);
    vm.phase = 'stopped';
  } else {
    if (phase !== 'stopped') return refuse(`VM ${vm.vm} left while it was ${phase}`);
    vm.phase = 'left';
  }
  const pages = [...vm.waitsFor];
  vm.waitsFor.clear();
  return pages;
}

/** Whether a VM waits for the page, or may not have made its access yet. */
export function isHeld(vms: readonly VmAtSource[], page: PageIndex): boolean {
  return vms.some(({ waitsFor }) => waitsFor.has(page));
}
