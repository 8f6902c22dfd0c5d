/**
 * The payloads of the page frames, decoded. Layouts: docs/protocol.md.
 *
 * Owns: pages, digestedPages, zeroPages, pageRequest, pageReply.
 * Must hold: what is returned is a view of the payload, valid as long as the payload is; page data is exactly as long
 * as its runs say. No allocation but one small object a run.
 */
import { PAGE_SIZE, type PageRun } from '../base/page.ts';
import { type FrameName, invalidFrame } from './frame-types.ts';
import { MAX_PAGES_PER_FRAME, PAGE_DIGEST_BYTES, REPLY_RUN_BYTES, RUN_BYTES } from './limits.ts';
import { readU32, readU64 } from './little-endian.ts';
import { checkRun, checkTotal, type RunList, readRuns, requireRoom } from './run-list.ts';

export interface PagesPayload {
  readonly runs: readonly PageRun[];
  readonly pages: number;
  /** 16 bytes a page, in the order of the runs; undefined for a plain pages frame. */
  readonly digests: Uint8Array | undefined;
  /** The contents, in the order of the runs. */
  readonly data: Uint8Array;
}

export interface PageRequest {
  /** Chosen by the destination; the reply repeats it. */
  readonly sequence: number;
  readonly first: number;
  readonly count: number;
}

export type ReplyKind = 'data' | 'zero';

/** The byte of each kind is its index. */
export const REPLY_KINDS: readonly ReplyKind[] = ['data', 'zero'];

export interface ReplyRun extends PageRun {
  readonly kind: ReplyKind;
}

export interface PageReply {
  readonly sequence: number;
  readonly runs: readonly ReplyRun[];
  readonly pages: number;
  /** 16 bytes a page of kind `data`; undefined when the source sends no digests. */
  readonly digests: Uint8Array | undefined;
  /** The contents of the pages of kind `data`, in the order of the runs. */
  readonly data: Uint8Array;
}

/** @throws GW_WIRE_FRAME_INVALID */
export function decodePages(payload: Uint8Array, pageCount: number): PagesPayload {
  return readPages('pages', payload, pageCount, false);
}

/** Bytes at the beginning of a pages frame that say how long what `decodePagesHead` needs is. */
export const PAGES_COUNT_BYTES = 4;

/**
 * How many bytes the runs of a pages frame take, their count included.
 * @param count - the first PAGES_COUNT_BYTES of the payload
 * @throws GW_WIRE_FRAME_INVALID
 */
export function pagesHeadBytes(count: Uint8Array, payloadBytes: number): number {
  const runCount = readU32(count, 0);
  const bytes = PAGES_COUNT_BYTES + runCount * RUN_BYTES;
  if (runCount > MAX_PAGES_PER_FRAME || bytes > payloadBytes) {
    throw invalidFrame('pages', `${runCount} runs do not fit ${payloadBytes} bytes`);
  }
  return bytes;
}

/** The runs of a pages frame whose contents are still to be read. @throws GW_WIRE_FRAME_INVALID */
export function decodePagesHead(head: Uint8Array, payloadBytes: number, pageCount: number): RunList {
  const runCount = readU32(head, 0);
  const bounds = { pageCount, fromPage: 0, maxPages: MAX_PAGES_PER_FRAME };
  const list = readRuns('pages', head, PAGES_COUNT_BYTES, runCount, bounds);
  const expected = head.length + list.pages * PAGE_SIZE;
  if (payloadBytes === expected) return list;
  throw invalidFrame('pages', `it has ${payloadBytes} bytes where its runs need ${expected}`);
}

/** @throws GW_WIRE_FRAME_INVALID */
export function decodeDigestedPages(payload: Uint8Array, pageCount: number): PagesPayload {
  return readPages('digestedPages', payload, pageCount, true);
}

/** @throws GW_WIRE_FRAME_INVALID */
export function decodeZeroPages(payload: Uint8Array, pageCount: number): RunList {
  const runCount = readU32(payload, 0);
  const list = readRuns('zeroPages', payload, 4, runCount, { pageCount, fromPage: 0, maxPages: pageCount });
  requireLength('zeroPages', payload, 4 + runCount * RUN_BYTES);
  return list;
}

/** @throws GW_WIRE_FRAME_INVALID */
export function decodePageRequest(payload: Uint8Array, pageCount: number): PageRequest {
  const first = readU64(payload, 4);
  const count = readU32(payload, 12);
  checkRun('pageRequest', first, count, 0, pageCount);
  checkTotal('pageRequest', count, MAX_PAGES_PER_FRAME);
  return { sequence: readU32(payload, 0), first, count };
}

/** @throws GW_WIRE_FRAME_INVALID */
export function decodePageReply(payload: Uint8Array, pageCount: number): PageReply {
  const digested = readU32(payload, 4);
  if (digested > 1) throw invalidFrame('pageReply', 'its digest flag is neither 0 nor 1');
  const runCount = readU32(payload, 8);
  requireRoom('pageReply', payload, 12, runCount, REPLY_RUN_BYTES);
  const runs = new Array<ReplyRun>(runCount);
  let endPage = 0;
  let pages = 0;
  let dataPages = 0;
  let at = 12;
  for (let i = 0; i < runCount; i++, at += REPLY_RUN_BYTES) {
    const first = readU64(payload, at);
    const count = readU32(payload, at + 8);
    const kind = REPLY_KINDS[readU32(payload, at + 12)];
    if (kind === undefined) throw invalidFrame('pageReply', 'a run is of an unknown kind');
    checkRun('pageReply', first, count, endPage, pageCount);
    endPage = first + count;
    pages += count;
    if (kind === 'data') dataPages += count;
    runs[i] = { first, count, kind };
  }
  checkTotal('pageReply', pages, MAX_PAGES_PER_FRAME);
  const dataAt = at + (digested === 1 ? dataPages * PAGE_DIGEST_BYTES : 0);
  requireLength('pageReply', payload, dataAt + dataPages * PAGE_SIZE);
  return {
    sequence: readU32(payload, 0),
    runs,
    pages,
    digests: digested === 1 ? payload.subarray(at, dataAt) : undefined,
    data: payload.subarray(dataAt),
  };
}

function readPages(
  frame: 'pages' | 'digestedPages',
  payload: Uint8Array,
  pageCount: number,
  digested: boolean,
): PagesPayload {
  const runCount = readU32(payload, 0);
  const bounds = { pageCount, fromPage: 0, maxPages: MAX_PAGES_PER_FRAME };
  const { runs, pages } = readRuns(frame, payload, 4, runCount, bounds);
  const digestsAt = 4 + runCount * RUN_BYTES;
  const dataAt = digestsAt + (digested ? pages * PAGE_DIGEST_BYTES : 0);
  requireLength(frame, payload, dataAt + pages * PAGE_SIZE);
  const digests = digested ? payload.subarray(digestsAt, dataAt) : undefined;
  return { runs, pages, digests, data: payload.subarray(dataAt) };
}

function requireLength(frame: FrameName, payload: Uint8Array, expected: number): void {
  if (payload.length !== expected) {
    throw invalidFrame(frame, `it has ${payload.length} bytes where its runs need ${expected}`);
  }
}
