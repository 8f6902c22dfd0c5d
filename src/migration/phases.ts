/**
 * The phases of one migration on both sides, who owns the VM in each, and which phase may follow which.
 *
 * Owns: the only table of phases and the only function that moves from one to another. docs/phases.md shows the same
 * table and is compared with it by a test.
 * Must hold: the source's row `stopping` is the last that can lead back to the VM running at the source; no row after
 * `committed` leads to one whose owner is the source.
 */
import { GodwitError } from '../base/errors.ts';
import type { DestinationPhase, SourcePhase } from './progress.ts';

/** `undecided`: the destination holds a loaded, paused VM and waits to hear whether it may run it. */
export type Owner = 'source' | 'destination' | 'undecided';

export interface PhaseRow<P extends string> {
  /** The host that may run the VM, as far as this side knows. */
  readonly owner: Owner;
  /** Whether the guest may execute on this side during this phase. */
  readonly guestMayRun: boolean;
  readonly next: readonly P[];
  readonly meaning: string;
}

export const SOURCE_PHASES: { readonly [P in SourcePhase]: PhaseRow<SourcePhase> } = {
  preparing: {
    owner: 'source',
    guestMayRun: true,
    next: ['copying', 'failed', 'cancelled'],
    meaning: 'The offer is out; the destination creates its QEMU and checks that the VM can run there',
  },
  copying: {
    owner: 'source',
    guestMayRun: true,
    next: ['stopping', 'failed', 'cancelled'],
    meaning: 'Rounds of pre-copy while the VM runs, perhaps slowed',
  },
  stopping: {
    owner: 'source',
    guestMayRun: false,
    next: ['committed', 'failed', 'cancelled'],
    meaning: 'The VM is stopped; the last pages or the list of missing pages, and the device state, are sent',
  },
  committed: {
    owner: 'destination',
    guestMayRun: false,
    next: ['serving', 'released', 'lost'],
    meaning: 'The VM is given away, durably; commit is sent, and again after every lost connection',
  },
  serving: {
    owner: 'destination',
    guestMayRun: false,
    next: ['released', 'lost'],
    meaning: 'The VM runs at the destination and fetches the pages that it lacks',
  },
  released: {
    owner: 'destination',
    guestMayRun: false,
    next: [],
    meaning: 'The destination has every page; QEMU and memory are freed here',
  },
  failed: {
    owner: 'source',
    guestMayRun: true,
    next: [],
    meaning: 'The VM is here as it was before; an abort may still be owed to the destination',
  },
  cancelled: {
    owner: 'source',
    guestMayRun: true,
    next: [],
    meaning: 'As failed, because somebody asked for it',
  },
  lost: {
    owner: 'destination',
    guestMayRun: false,
    next: ['released'],
    meaning: 'The VM ended, or pages that it lacks are gone, after the commit; what is left of it here is freed',
  },
};

export const DESTINATION_PHASES: { readonly [P in DestinationPhase]: PhaseRow<DestinationPhase> } = {
  preparing: {
    owner: 'source',
    guestMayRun: false,
    next: ['waiting', 'failed', 'cancelled'],
    meaning: 'QEMU is created, paused and incoming; memory, CPU, machine type and files are checked',
  },
  waiting: {
    owner: 'source',
    guestMayRun: false,
    next: ['receiving', 'failed', 'cancelled'],
    meaning: 'Ready; nothing has arrived yet',
  },
  receiving: {
    owner: 'source',
    guestMayRun: false,
    next: ['loaded', 'failed', 'cancelled'],
    meaning: 'Pages arrive; at the end the device state, which is loaded',
  },
  loaded: {
    owner: 'undecided',
    guestMayRun: false,
    next: ['resuming', 'failed', 'cancelled', 'lost'],
    meaning: 'The VM could run here, and waits, however long, to hear commit or abort',
  },
  resuming: {
    owner: 'destination',
    guestMayRun: true,
    next: ['pagingIn', 'done', 'lost'],
    meaning: 'The VM is ours, durably; it is being resumed',
  },
  pagingIn: {
    owner: 'destination',
    guestMayRun: true,
    next: ['done', 'lost'],
    meaning: 'The VM runs here and fetches the pages that it lacks',
  },
  done: {
    owner: 'destination',
    guestMayRun: true,
    next: [],
    meaning: 'Every page is here; the source is not needed any more',
  },
  failed: {
    owner: 'source',
    guestMayRun: false,
    next: [],
    meaning: 'Cleaned up; the VM runs on at the source',
  },
  cancelled: {
    owner: 'source',
    guestMayRun: false,
    next: [],
    meaning: 'As failed, because somebody asked for it',
  },
  lost: {
    owner: 'destination',
    guestMayRun: false,
    next: [],
    meaning: 'The VM ended, or pages that it lacks are gone, after the source gave it away',
  },
};

/** Whether the source may never run the VM again. */
export function isGivenAway(phase: SourcePhase): boolean {
  return SOURCE_PHASES[phase].owner === 'destination';
}

/**
 * The phase `to`, if `table` allows it after `from`.
 * @throws GW_PHASE_REFUSED otherwise: a step function asked for what must never happen
 */
export function advance<P extends string, T extends P>(table: Readonly<Record<P, PhaseRow<P>>>, from: P, to: T): T {
  if (table[from].next.includes(to)) return to;
  throw new GodwitError('GW_PHASE_REFUSED', { phase: from, event: `a change to ${to}` });
}
