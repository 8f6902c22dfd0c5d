/**
 * The pages of a VM that hold anything: all that a destination could miss.
 *
 * Must hold: `bytes` is read before the pages are looked for, so that a page which appears meanwhile shows as a change
 * later, at worst needlessly; looking is done in slices, because the thread has other work at the same time.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type PageRun, RunBuilder } from '../base/page.ts';
import type { GuestMemory } from './guest-memory.ts';

export interface HeldPages {
  /** Memory that the host held for the VM then. */
  readonly bytes: number;
  readonly runs: readonly PageRun[];
}

/** 64 MiB are looked through in less than a millisecond, unless they are very fragmented. */
const SLICE_PAGES = 16_384;

export async function readHeldPages(memory: GuestMemory): Promise<HeldPages> {
  const bytes = memory.allocatedBytes();
  const runs = new RunBuilder();
  const { pageCount } = memory.layout;
  for (let from = 0; from < pageCount; from += SLICE_PAGES) {
    await nextTurn();
    const slice = memory.dataRuns(from, Math.min(from + SLICE_PAGES, pageCount));
    for (const run of slice) runs.add(run.first, run.count);
  }
  return { bytes, runs: runs.finish() };
}

/** Whether no page has appeared since, of a VM that gives none back. */
export function holdsTheSame(memory: GuestMemory, held: HeldPages): boolean {
  return memory.allocatedBytes() === held.bytes;
}
