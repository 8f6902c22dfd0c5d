/**
 * Staging copies: pages read out of guest memory, so that what is looked at is what is sent.
 *
 * Owns: a fixed buffer of one batch. Must hold: guest memory is read by pread, so that a hole stays a hole and a page
 * that changes meanwhile is only torn, never a crash (the dirty tracker has it sent again).
 */
import { countPages, PAGE_SIZE, type PageRun, RunBuilder } from '../base/page.ts';
import { isZeroPage } from '../base/zero-page.ts';
import type { GuestMemory } from './guest-memory.ts';

/** Pages of a batch that are looked at to know what the others are like: zero pages come in crowds. */
const SAMPLES = 8;
const SAMPLE_BYTES = 64;

/** What a batch turned out to hold. Data pages lie in `parts` in the order of `dataRuns`. */
export interface PageBatch {
  readonly dataRuns: PageRun[];
  readonly dataPages: number;
  readonly zeroRuns: PageRun[];
  readonly zeroPages: number;
  /** Views of the staging buffer, as few as can be: runs follow each other in it. */
  readonly parts: Uint8Array[];
}

export class StagingBuffer {
  readonly bytes: Uint8Array;
  readonly #words: Int32Array;
  readonly maxPages: number;

  constructor(maxPages: number) {
    this.maxPages = maxPages;
    this.bytes = new Uint8Array(maxPages * PAGE_SIZE);
    this.#words = new Int32Array(this.bytes.buffer);
  }

  /** Reads the runs (at most `maxPages` pages in all) and tells zero pages from data. */
  read(memory: Pick<GuestMemory, 'readPages'>, runs: readonly PageRun[]): PageBatch {
    const dataRuns = new RunBuilder();
    const zeroRuns = new RunBuilder();
    const parts: Uint8Array[] = [];
    let dataPages = 0;
    let zeroPages = 0;
    let at = 0;
    let dataFrom = -1;
    for (const run of runs) {
      memory.readPages(run, this.bytes.subarray(at * PAGE_SIZE, (at + run.count) * PAGE_SIZE));
      for (let i = 0; i < run.count; i++) {
        if (isZeroPage(this.#words, at + i)) {
          zeroRuns.add(run.first + i, 1);
          zeroPages++;
          if (dataFrom >= 0) parts.push(this.#slice(dataFrom, at + i));
          dataFrom = -1;
        } else {
          dataRuns.add(run.first + i, 1);
          dataPages++;
          if (dataFrom < 0) dataFrom = at + i;
        }
      }
      at += run.count;
    }
    if (dataFrom >= 0) parts.push(this.#slice(dataFrom, at));
    return { dataRuns: dataRuns.finish(), dataPages, zeroRuns: zeroRuns.finish(), zeroPages, parts };
  }

  #slice(fromPage: number, toPage: number): Uint8Array {
    return this.bytes.subarray(fromPage * PAGE_SIZE, toPage * PAGE_SIZE);
  }
}

/** Whether one of a few of the pages begins as a zero page does. */
export function mayHoldZeroPages(memory: GuestMemory, runs: readonly PageRun[]): boolean {
  const beginning = new Uint8Array(SAMPLE_BYTES);
  const every = Math.ceil(countPages(runs) / SAMPLES);
  let next = 0;
  for (const { first, count } of runs) {
    for (; next < count; next += every) {
      memory.readBeginning(first + next, beginning);
      if (beginning.every((byte) => byte === 0)) return true;
    }
    next -= count;
  }
  return false;
}
