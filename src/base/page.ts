/**
 * Pages and page runs.
 *
 * Owns: all page arithmetic. A page number counts 4 KiB pages over the concatenation of a VM's RAM regions, so one
 * number names one page of the VM whatever the number of regions. A run is a half-open range of page numbers.
 * Must hold: runs in a list are ascending, disjoint and not adjacent (see `RunBuilder`).
 */

export const PAGE_SIZE = 4096;

/** Connections that carry pages side by side, at most: each has a thread at either end. */
export const MAX_PAGE_CHANNELS = 16;

/** A page number; an integer from 0 to the VM's page count - 1. */
export type PageIndex = number;

/** The pages `first` … `first + count - 1`. */
export interface PageRun {
  readonly first: PageIndex;
  readonly count: number;
}

export function pagesFor(bytes: number): number {
  return Math.ceil(bytes / PAGE_SIZE);
}

export function countPages(runs: readonly PageRun[]): number {
  let total = 0;
  for (const run of runs) total += run.count;
  return total;
}

/** Collects ascending pages or runs and merges neighbours, so that the result keeps the rule of run lists. */
export class RunBuilder {
  readonly runs: PageRun[] = [];
  #first = 0;
  #end = 0;

  /** Adds the pages [first, first + count); `first` must not lie before the end of what was added already. */
  add(first: PageIndex, count: number): void {
    if (count === 0) return;
    if (first === this.#end && this.#end > this.#first) {
      this.#end += count;
      return;
    }
    this.#flush();
    this.#first = first;
    this.#end = first + count;
  }

  finish(): PageRun[] {
    this.#flush();
    this.#first = this.#end;
    return this.runs;
  }

  #flush(): void {
    if (this.#end > this.#first) this.runs.push({ first: this.#first, count: this.#end - this.#first });
  }
}

/** Cuts runs into batches of at most `maxPages` (1 or more) pages in total each, keeping their order. */
export function* batchRuns(runs: Iterable<PageRun>, maxPages: number): Generator<PageRun[]> {
  if (!(maxPages >= 1)) throw new RangeError(`Batches of ${maxPages} pages`);
  let batch: PageRun[] = [];
  let room = maxPages;
  for (const run of runs) {
    let first = run.first;
    let left = run.count;
    while (left > 0) {
      const count = Math.min(left, room);
      batch.push({ first, count });
      first += count;
      left -= count;
      room -= count;
      if (room === 0) {
        yield batch;
        batch = [];
        room = maxPages;
      }
    }
  }
  if (batch.length > 0) yield batch;
}

/** The pages that lie in both lists. */
export function intersectRuns(a: readonly PageRun[], b: readonly PageRun[]): PageRun[] {
  const out = new RunBuilder();
  let j = 0;
  for (const run of a) {
    const end = run.first + run.count;
    while (j < b.length && b[j]!.first + b[j]!.count <= run.first) j++;
    for (let k = j; k < b.length && b[k]!.first < end; k++) {
      const first = Math.max(run.first, b[k]!.first);
      out.add(first, Math.min(end, b[k]!.first + b[k]!.count) - first);
    }
  }
  return out.finish();
}

/** The pages of `a` that do not lie in `b`. */
export function subtractRuns(a: readonly PageRun[], b: readonly PageRun[]): PageRun[] {
  const out = new RunBuilder();
  let j = 0;
  for (const run of a) {
    const end = run.first + run.count;
    let at = run.first;
    while (j < b.length && b[j]!.first + b[j]!.count <= at) j++;
    for (let k = j; k < b.length && b[k]!.first < end; k++) {
      if (b[k]!.first > at) out.add(at, b[k]!.first - at);
      at = Math.max(at, b[k]!.first + b[k]!.count);
    }
    if (at < end) out.add(at, end - at);
  }
  return out.finish();
}
