/**
 * Answers the write faults of a VM: makes groups of pages writable, no faster than writers may go, and protects all again
 * when asked which were written (M1).
 *
 * Owns: the grants, the pace, and the faults that wait for their turn. Must hold: whoever faults is answered, also on a
 * page that is writable already or was; once all is protected for the first time, which somebody else does while faults
 * come, it is the only one that changes the protection, so that a page is never writable without counting as written; it
 * never touches guest memory and never waits.
 */
import { PAGE_SIZE, type PageIndex, type PageRun } from '../base/page.ts';
import type { PageBitmap } from '../base/page-bitmap.ts';
import type { GroupSetting } from '../base/tracker-choice.ts';
import { FaultBatch, MAX_FAULTS_PER_READ } from '../linux/fault-batch.ts';
import type { ProtectionMap } from '../linux/protection-map.ts';
import type { UserfaultfdRanges } from '../linux/userfaultfd-ranges.ts';
import type { RamLayout } from './layout.ts';
import { WriteGrants } from './write-grants.ts';
import { WritePace } from './write-pace.ts';

export interface WriteFaultParts {
  readonly uffd: UserfaultfdRanges;
  readonly layout: RamLayout;
  /** Where each region begins in QEMU. */
  readonly starts: readonly bigint[];
  readonly setting: GroupSetting;
  /** The set of writable pages; other threads may look at it. */
  readonly granted: PageBitmap;
  /** Where pages can vanish, and their protection with them (a balloon); null where they cannot. */
  readonly protection: ProtectionMap | null;
  /** Whether faults of this thread wait for their turn. */
  isPaced(threadId: number): boolean;
}

export interface WriteFaultCounts {
  readonly faults: number;
  /** Of these, had to wait for their turn. */
  readonly pacedFaults: number;
  readonly smallestPages: number;
  readonly largestPages: number;
}

/** Whoever asks for what was written, or tells to stop, has a turn after so many faults times 64: some 10 ms. */
const MAX_BATCHES_A_TURN = 4;
/** Looking at protected pages costs less than another call that makes every vCPU forget its translations. */
const JOINED_GAP_PAGES = 64;

export class WriteFaultService {
  readonly #parts: WriteFaultParts;
  readonly #grants: WriteGrants;
  readonly #pace = new WritePace();
  readonly #batch = new FaultBatch();
  /** Pages whose faults wait, in their order. */
  readonly #waiting = new Set<PageIndex>();
  #faults = 0;
  #pacedFaults = 0;

  constructor(parts: WriteFaultParts) {
    this.#parts = parts;
    this.#grants = new WriteGrants(parts.layout, parts.setting, parts.granted);
  }

  get counts(): WriteFaultCounts {
    const { smallestPages, largestPages } = this.#grants;
    return { faults: this.#faults, pacedFaults: this.#pacedFaults, smallestPages, largestPages };
  }

  setBudget(pages: number): void {
    this.#grants.setBudget(pages);
  }

  setPace(pagesPerSecond: number, nowMs: number): void {
    this.#pace.set(pagesPerSecond, nowMs);
  }

  /** Until somebody's turn comes; Infinity when nobody waits. */
  dueInMs(nowMs: number): number {
    return this.#waiting.size === 0 ? Number.POSITIVE_INFINITY : this.#pace.waitMs(nowMs);
  }

  /** Takes the faults that there are, as far as they do not come faster than they are answered. */
  takeFaults(nowMs: number): void {
    for (let batch = 0; batch < MAX_BATCHES_A_TURN; batch++) {
      const count = this.#parts.uffd.readFaults(this.#batch);
      for (let i = 0; i < count; i++) this.#take(this.#batch.address(i), this.#batch.threadId(i), nowMs);
      if (count < MAX_FAULTS_PER_READ) return;
    }
  }

  /** Answers those whose turn has come. */
  answerDue(nowMs: number): void {
    for (const page of this.#waiting) {
      if (this.#pace.waitMs(nowMs) > 0) return;
      this.#waiting.delete(page);
      this.#answer(page, nowMs);
    }
  }

  /**
   * None where pages can vanish: one in a gap that has vanished since it was looked at, and was written then, would be
   * protected again as if nobody had written it.
   */
  get #joinedGapPages(): number {
    return this.#parts.protection ? 0 : JOINED_GAP_PAGES;
  }

  /** The pages that could be written since the last look; from now on none can. */
  collect(): PageRun[] {
    this.#noteVanished();
    const runs = this.#grants.list();
    for (const run of joinRuns(runs, this.#joinedGapPages)) this.#protect(run, true);
    this.#grants.clear();
    return runs;
  }

  #take(address: bigint, threadId: number, nowMs: number): void {
    const page = this.#pageAt(address);
    if (page === undefined) return;
    const isPaced = this.#parts.isPaced(threadId);
    if (this.#waiting.has(page) && isPaced) return;
    this.#faults++;
    const mayGo = this.#waiting.size === 0 && this.#pace.waitMs(nowMs) === 0;
    if (mayGo || this.#grants.isGranted(page) || !isPaced) {
      // Also where a vCPU waits for it already: QEMU's own threads never do.
      this.#waiting.delete(page);
      this.#answer(page, nowMs);
      return;
    }
    this.#pacedFaults++;
    this.#waiting.add(page);
  }

  #answer(page: PageIndex, nowMs: number): void {
    if (this.#grants.isGranted(page)) {
      // Who starts the tracking may have protected it since it was granted. Lifting the protection wakes as well.
      this.#protect({ first: page, count: 1 }, false);
      return;
    }
    const grant = this.#grants.grant(page, nowMs);
    this.#protect(grant, false);
    this.#pace.take(grant.added, nowMs);
  }

  /** Who takes a page away takes its protection, too: the next write to it makes no fault. */
  #noteVanished(): void {
    const { protection, layout, starts } = this.#parts;
    if (!protection) return;
    for (const { index, bytes, firstPage } of layout.regions) {
      const runs = protection.unprotected(starts[index]!, bytes);
      this.#grants.note(runs.map(({ first, count }) => ({ first: firstPage + first, count })));
    }
  }

  #protect(run: PageRun, isProtected: boolean): void {
    for (const { first, count } of this.#parts.layout.split(run)) {
      this.#parts.uffd.writeProtect(this.#addressOf(first), count * PAGE_SIZE, isProtected);
    }
  }

  #pageAt(address: bigint): PageIndex | undefined {
    for (const { index, bytes, firstPage } of this.#parts.layout.regions) {
      const offset = Number(address - this.#parts.starts[index]!);
      if (offset >= 0 && offset < bytes) return firstPage + Math.floor(offset / PAGE_SIZE);
    }
    return undefined;
  }

  #addressOf(page: PageIndex): bigint {
    const { region, offset } = this.#parts.layout.locate(page);
    return this.#parts.starts[region.index]! + BigInt(offset);
  }
}

/** Fewer and longer runs, with the gaps that are no longer than that. */
function joinRuns(runs: readonly PageRun[], gapPages: number): PageRun[] {
  const joined: PageRun[] = [];
  for (const run of runs) {
    const last = joined.at(-1);
    if (last && run.first - (last.first + last.count) <= gapPages) {
      joined[joined.length - 1] = { first: last.first, count: run.first + run.count - last.first };
    } else {
      joined.push(run);
    }
  }
  return joined;
}
