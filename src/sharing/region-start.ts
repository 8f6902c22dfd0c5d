/**
 * How a region's thread begins: anew, or where a process that was killed has stopped.
 *
 * Must hold: of an earlier process everything is taken over before the first fault is read or the first word is said: the
 * watches that it left in the QEMUs, the turns, the copies; what it may have left half done is done once more. A watch that is
 * not there any more is no error only where no page can be missing.
 */
import { hasCode } from '../base/errors.ts';
import { type PageTable, restoreTable } from './page-table.ts';
import { type KeptPage, RegionJournal } from './region-journal.ts';
import type { RegionMemory } from './region-memory.ts';
import type { LeftVm, RegionThreadInput } from './region-orders.ts';
import { WINDOW_PAGES } from './region-settings.ts';

export interface RegionKeeping {
  readonly journal: RegionJournal;
  readonly kept: readonly KeptPage[];
  /** The VMs of an earlier process, with the userfaultfds by which they are watched now. */
  readonly watched: readonly (readonly [vm: string, insideFd: number])[];
}

/** @throws GW_SYS_NO_ROOM, GW_INPUT_UNREADABLE where the journal of the earlier process is none, GW_SYS_… */
export function startKeeping(
  { journal: path, resumes }: RegionThreadInput,
  memory: RegionMemory,
  table: PageTable,
): RegionKeeping {
  if (resumes === null)
    return { journal: RegionJournal.create(path, memory.pages, WINDOW_PAGES), kept: [], watched: [] };
  const journal = RegionJournal.open(path, memory.pages, WINDOW_PAGES);
  const kept = journal.recover((page) => memory.has(page));
  const given = kept.map(({ page }) => page);
  restoreTable(table, journal.turns(), given);
  // At the destination all watches were ended before this was written.
  const isOver = journal.phase === 'told' && (table.settings.side === 'destination' || table.here + given.length === 0);
  const watched = resumes.flatMap((vm) => (isOver ? [] : watchAgain(vm, memory, journal, table)));
  memory.recover(given);
  return { journal, kept, watched };
}

/** One that has ended waits for nothing. */
function watchAgain(
  { insideFd, ...vm }: LeftVm,
  memory: RegionMemory,
  { phase }: RegionJournal,
  { settings, here }: PageTable,
): [vm: string, insideFd: number][] {
  try {
    memory.attach(vm, insideFd, true);
    return [[vm.vm, insideFd]];
  } catch (error) {
    if (hasCode(error, 'GW_SYS_PROCESS_GONE')) return [];
    // Its watch had been ended before the first page could move.
    if (phase === 'waiting' && settings.side === 'source') return [[vm.vm, memory.watch(vm)]];
    // Nor had the destination any more to wait for: it was ending its watches, and had not written down that it has everything.
    if (settings.side === 'destination' && here === settings.pages) return [];
    throw error;
  }
}
