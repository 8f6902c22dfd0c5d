/**
 * Makes pages of a VM's memory missing: whoever touches one afterwards faults, whatever was received for it.
 *
 * Must hold: when this returns, the kernel has none of the pages. That they never came does not say so: on a tmpfs of
 * huge pages (mount option huge=, or shmem_enabled) one page that is written brings the 511 beside it, as zeros, and a
 * vCPU would read these without a fault. A hole in part of a huge page is one only if the kernel can split it: what it
 * cannot split (somebody has it pinned) it fills with zeros and keeps, without an error (mm/shmem.c, shmem_undo_range).
 * The pages are registered with a userfaultfd already, or khugepaged may fill the holes again.
 */
import { GodwitError } from '../base/errors.ts';
import { countPages, PAGE_SIZE, type PageRun } from '../base/page.ts';
import type { PageBitmap } from '../base/page-bitmap.ts';
import type { GuestMemory } from './guest-memory.ts';

/** What pins a huge page for a moment (compaction, a transfer that is under way) lets go of it soon. */
const ATTEMPTS = 5;

/**
 * @param received - the pages that came, all of which the memory has; those of the runs are taken out
 * @throws GW_SYS_UNSUPPORTED when the kernel keeps some of the pages
 */
export function makeMissing(
  memory: Pick<GuestMemory, 'punch' | 'dataRuns' | 'allocatedBytes'>,
  runs: readonly PageRun[],
  received: PageBitmap,
): void {
  // As many pages as came: these, and no others. So it is nearly always, and pages that never came cost nothing.
  const hasOnlyReceived = hasPages(memory, received.count());
  for (const run of runs) {
    for (const held of hasOnlyReceived ? received.runs(run.first, run.first + run.count) : [run]) memory.punch(held);
    received.releaseRun(run.first, run.count);
  }
  if (hasOnlyReceived && hasPages(memory, received.count())) return;
  let kept = keptOf(memory, runs);
  for (let attempt = 1; kept.length > 0 && attempt < ATTEMPTS; attempt++) {
    for (const run of kept) memory.punch(run);
    kept = keptOf(memory, kept);
  }
  if (kept.length === 0) return;
  const reason =
    `the kernel keeps ${countPages(kept)} pages that have to be missing, because it cannot split the huge pages of guest ` +
    'memory: mount -o remount,huge=never /dev/shm (and shmem_enabled=never), or use pre-copy';
  throw new GodwitError('GW_SYS_UNSUPPORTED', { feature: 'post-copy', reason });
}

function hasPages(memory: Pick<GuestMemory, 'allocatedBytes'>, pages: number): boolean {
  return memory.allocatedBytes() === pages * PAGE_SIZE;
}

function keptOf(memory: Pick<GuestMemory, 'dataRuns'>, runs: readonly PageRun[]): PageRun[] {
  return runs.flatMap(({ first, count }) => memory.dataRuns(first, first + count));
}
