/**
 * The source of a shared region: gives its pages to the destination, and stops whoever touches one that has gone.
 *
 * Owns: the step of a region at the source (R2, R3, R4, R6): event in, actions out; the state is changed in place. Pure.
 * It begins when the first VM of the group runs at the destination. Must hold:
 * - a page that was lent goes back as soon as no VM here waits for it any more, asked for or not;
 * - `complete` is said when no VM is left here and everything has been sent, behind the last page; `free` comes only when
 *   the destination has said `completed`, so nothing is freed that is not there.
 */
import type { PageIndex } from '../base/page.ts';
import {
  askAgain,
  forgetLeaving,
  giveOwed,
  givePage,
  hasRoom,
  hearAcknowledgement,
  hearAsk,
  hearPage,
  isHere,
  isPage,
  loseLink,
  needPage,
  nextHere,
  openPageTable,
  type PageTable,
  resumeLink,
  type TableSettings,
} from './page-table.ts';
import {
  type ActionList,
  type RegionMessage,
  type RegionRefusal,
  type RegionStep,
  refuse,
  type SourceAction,
} from './region-words.ts';
import {
  isHeld,
  moveVm,
  noteAccess,
  openVms,
  type SourceVm,
  type StoppingAccess,
  type VmAtSource,
} from './source-vms.ts';

export interface SourceSettings extends Omit<TableSettings, 'side'> {
  /** The VMs of the group that are still here. */
  readonly vms: readonly SourceVm[];
  /** What pushing may have under way; the rest of the window is for pages that somebody waits for. */
  readonly pushWindowPages: number;
  /** With so many pages left and no VM here, the rest is sent at once and the end is told (R6). */
  readonly completeAtPages: number;
}

export interface SourceRegion {
  readonly settings: SourceSettings;
  readonly table: PageTable;
  readonly vms: readonly VmAtSource[];
  /** The accesses that stopped VMs, in their order. */
  readonly stoppingAccesses: StoppingAccess[];
  phase: 'moving' | 'completing' | 'done';
  /** Over this connection. */
  completeSaid: boolean;
  /** While completing: pages before it are not here any more, but for those that are lent. */
  nextOfRest: PageIndex;
}

export type SourceRegionEvent =
  | { readonly kind: 'received'; readonly message: RegionMessage }
  /** A VM's access found the page missing. */
  | { readonly kind: 'accessed'; readonly page: PageIndex; readonly vm: string; readonly atMs: number }
  /**
   * Its vCPUs stand, whatever has stopped it. Given once more when its state is saved: should a thread that is no vCPU
   * have touched a missing page meanwhile, the page is held for it, and loading the VM at the destination may need it.
   */
  | { readonly kind: 'vmStopped'; readonly vm: string }
  /** Its migration is committed: it is the destination's. */
  | { readonly kind: 'vmLeft'; readonly vm: string }
  /** Its migration failed after the stop, and it runs here again. */
  | { readonly kind: 'vmContinued'; readonly vm: string }
  /** Its stop, or the saving of its state, takes so long that it may be waiting for a page. */
  | { readonly kind: 'vmOverdue'; readonly vm: string; readonly atMs: number }
  /** Pushing has chosen the page; does nothing where `canPush` says no. */
  | { readonly kind: 'push'; readonly page: PageIndex }
  | { readonly kind: 'timePassed'; readonly nowMs: number }
  | { readonly kind: 'linkLost' }
  | { readonly kind: 'linkBack'; readonly nowMs: number }
  /** The destination has had everything, and has ended since: it acknowledges nothing any more. */
  | { readonly kind: 'overThere' };

export function openSourceRegion(settings: SourceSettings): SourceRegion {
  return {
    settings,
    table: openPageTable({ ...settings, side: 'source' }),
    vms: openVms(settings.vms),
    stoppingAccesses: [],
    phase: 'moving',
    completeSaid: false,
    nextOfRest: 0,
  };
}

/** Whether pushing may send the page now. */
export function canPush({ table, settings, vms }: SourceRegion, page: PageIndex): boolean {
  return isPage(table, page) && isHere(table, page) && hasRoom(table, settings.pushWindowPages) && !isHeld(vms, page);
}

/** Only now is there reason to push: while VMs are here, a page that is pushed is one more that stops them. */
export function isWithoutVms({ vms }: SourceRegion): boolean {
  return vms.every(({ phase }) => phase === 'left');
}

export function stepSourceRegion(region: SourceRegion, event: SourceRegionEvent): RegionStep<SourceAction> {
  const actions: SourceAction[] = [];
  const refusal = take(region, event, actions);
  if (refusal !== null) return refusal;
  settle(region, actions);
  return { kind: 'stepped', actions };
}

function take(region: SourceRegion, event: SourceRegionEvent, into: ActionList<SourceAction>): RegionRefusal | null {
  const { table } = region;
  switch (event.kind) {
    case 'received':
      return hear(region, event.message, into);
    case 'accessed':
      return withVm(region, event.vm, (vm) => access(region, vm, event.page, event.atMs, into));
    case 'vmStopped':
    case 'vmLeft':
    case 'vmContinued':
      return withVm(region, event.vm, (vm) => {
        const pages = moveVm(vm, event.kind);
        if ('kind' in pages) return pages;
        for (const page of pages) giveBack(region, page);
        return null;
      });
    case 'vmOverdue':
      return withVm(region, event.vm, (vm) => {
        vm.overdue = true;
        for (const page of vm.waitsFor) if (!isHere(table, page)) needPage(table, page, event.atMs, into);
        return null;
      });
    case 'push':
      if (canPush(region, event.page)) givePage(table, event.page, 'pushed', into);
      return null;
    case 'timePassed':
      askAgain(table, event.nowMs, into);
      return null;
    case 'linkLost':
      loseLink(table);
      return null;
    case 'linkBack':
      region.completeSaid = false;
      resumeLink(table, event.nowMs, into);
      return null;
    case 'overThere':
      if (!region.completeSaid) return refuse('The destination says that it had everything before it was told so');
      forgetLeaving(table, into);
      return finish(region, into);
  }
}

function hear(region: SourceRegion, message: RegionMessage, into: ActionList<SourceAction>): RegionRefusal | null {
  const { table } = region;
  switch (message.kind) {
    case 'ask':
      return hearAsk(table, message.page, message.turn);
    case 'acknowledge':
      return hearAcknowledgement(table, message.page, message.turn, into);
    case 'page': {
      const refusal = hearPage(table, message.page, message.turn, into);
      if (refusal === null) giveBack(region, message.page);
      return refusal;
    }
    case 'completed':
      if (region.phase === 'done') return null;
      if (!region.completeSaid || table.leaving.size > 0) return refuse('The destination said completed too early');
      return finish(region, into);
    case 'complete':
      return refuse('The destination said complete, which only the source says');
  }
}

function finish(region: SourceRegion, into: ActionList<SourceAction>): null {
  if (region.phase !== 'done') into.push({ kind: 'free' });
  region.phase = 'done';
  return null;
}

function access(
  region: SourceRegion,
  vm: VmAtSource,
  page: PageIndex,
  atMs: number,
  into: ActionList<SourceAction>,
): RegionRefusal | null {
  const { table } = region;
  if (!isPage(table, page)) return refuse(`VM ${vm.vm} accessed page ${page} of a region of ${table.settings.pages}`);
  // A fault that was told before the VM left; nobody waits in it any more.
  if (vm.phase === 'left') return null;
  if (isHere(table, page)) {
    table.tally.accessesToPresent++;
    into.push({ kind: 'wake', page, vm: vm.vm });
    return null;
  }
  if (vm.phase === 'running') region.stoppingAccesses.push({ vm: vm.vm, page, atMs });
  if (noteAccess(vm, page, into)) needPage(table, page, atMs, into);
  return null;
}

/** A page for which a VM has waited, or that has come, is lent if it is here. */
function giveBack({ table, vms }: SourceRegion, page: PageIndex): void {
  if (!isHere(table, page) || isHeld(vms, page) || table.owed.has(page)) return;
  table.owed.set(page, 'returned');
}

/** What has become possible by the event. */
function settle(region: SourceRegion, into: ActionList<SourceAction>): void {
  const { table, settings, vms } = region;
  giveOwed(table, (page) => isHeld(vms, page), into);
  const isNearlyEmpty = isWithoutVms(region) && table.here <= settings.completeAtPages;
  if (region.phase === 'moving' && isNearlyEmpty) region.phase = 'completing';
  if (region.phase !== 'completing') return;
  while (hasRoom(table)) {
    const page = nextHere(table, region.nextOfRest);
    if (page < 0) break;
    region.nextOfRest = page + 1;
    givePage(table, page, 'pushed', into);
  }
  // A page that was asked for comes back first: it would be missing there.
  if (region.completeSaid || !table.linked || table.here > 0 || table.asked.size > 0) return;
  region.completeSaid = true;
  into.push({ kind: 'send', message: { kind: 'complete' } });
}

function withVm(
  { vms }: SourceRegion,
  name: string,
  act: (vm: VmAtSource) => RegionRefusal | null,
): RegionRefusal | null {
  const vm = vms.find((each) => each.vm === name);
  return vm ? act(vm) : refuse(`VM ${name} is not of the group`);
}
