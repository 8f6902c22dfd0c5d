/**
 * Lists of page runs as they come from a peer.
 *
 * Owns: decoding runs and the checks that make them safe to use. A run is {u64 firstPage, u32 count}.
 * Must hold for every list that leaves this file: runs are not empty, ascending and disjoint (two may touch), and end
 * at or before the guest's last page. Nothing is allocated before the number of runs was held against the bytes there.
 */
import type { PageRun } from '../base/page.ts';
import { type FrameName, invalidFrame } from './frame-types.ts';
import { RUN_BYTES } from './limits.ts';
import { readU32, readU64, writeU32, writeU64 } from './little-endian.ts';

/** What the pages of a list may be. */
export interface RunBounds {
  /** How many pages the guest has: no run ends behind it. */
  readonly pageCount: number;
  /** No run begins before this page. */
  readonly fromPage: number;
  /** The most pages that all runs together may have. */
  readonly maxPages: number;
}

export interface RunList {
  readonly runs: PageRun[];
  /** Pages of all runs together. */
  readonly pages: number;
  /** The page after the last run; `fromPage` of the bounds for an empty list. */
  readonly endPage: number;
}

/**
 * Reads `runCount` runs at `offset`.
 *
 * @throws GW_WIRE_FRAME_INVALID naming `frame` and the first thing that is wrong
 */
export function readRuns(
  frame: FrameName,
  payload: Uint8Array,
  offset: number,
  runCount: number,
  bounds: RunBounds,
): RunList {
  requireRoom(frame, payload, offset, runCount, RUN_BYTES);
  const runs = new Array<PageRun>(runCount);
  let endPage = bounds.fromPage;
  let pages = 0;
  for (let i = 0, at = offset; i < runCount; i++, at += RUN_BYTES) {
    const first = readU64(payload, at);
    const count = readU32(payload, at + 8);
    checkRun(frame, first, count, endPage, bounds.pageCount);
    endPage = first + count;
    pages += count;
    runs[i] = { first, count };
  }
  checkTotal(frame, pages, bounds.maxPages);
  return { runs, pages, endPage };
}

export function writeRuns(bytes: Uint8Array, offset: number, runs: readonly PageRun[]): void {
  let at = offset;
  for (const run of runs) {
    writeU64(bytes, at, run.first);
    writeU32(bytes, at + 8, run.count);
    at += RUN_BYTES;
  }
}

/** Throws unless `count` entries of `entryBytes` fit between `offset` and the end of the payload. */
export function requireRoom(
  frame: FrameName,
  payload: Uint8Array,
  offset: number,
  count: number,
  entryBytes: number,
): void {
  if (count * entryBytes > payload.length - offset) throw invalidFrame(frame, `it has no room for its ${count} runs`);
}

/** Throws unless the run is not empty, begins at or after `fromPage` and ends within the guest. */
export function checkRun(frame: FrameName, first: number, count: number, fromPage: number, pageCount: number): void {
  if (first < 0) throw invalidFrame(frame, 'a page number is above 2^53 - 1');
  if (count === 0) throw invalidFrame(frame, 'a run is empty');
  if (first < fromPage) throw invalidFrame(frame, `page ${first} is out of order`);
  if (first + count > pageCount) {
    throw invalidFrame(frame, `pages ${first} to ${first + count - 1} do not all exist: the guest has ${pageCount}`);
  }
}

export function checkTotal(frame: FrameName, pages: number, maxPages: number): void {
  if (pages > maxPages) throw invalidFrame(frame, `it has ${pages} pages, more than the ${maxPages} allowed`);
}
