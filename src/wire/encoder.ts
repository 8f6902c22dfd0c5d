/**
 * Frames of ours, ready to send.
 *
 * Owns: the byte layout of every binary frame and of control messages, sending side.
 * Must hold: page contents are never copied: what comes back is the header with everything before the contents, and
 * the caller sends both parts in one write. A frame that the peer would refuse is GW_INTERNAL here.
 */
import { GodwitError } from '../base/errors.ts';
import { countPages, PAGE_SIZE, type PageRun } from '../base/page.ts';
import { encodeFrameHeader } from './frame-types.ts';
import { FRAME_HEADER_BYTES, MAX_RUNS_PER_PART, PAGE_DIGEST_BYTES, REPLY_RUN_BYTES, RUN_BYTES } from './limits.ts';
import { writeU32, writeU64 } from './little-endian.ts';
import { REPLY_KINDS, type ReplyRun } from './page-payloads.ts';
import { writeRuns } from './run-list.ts';
import { RUN_LIST_PART_BYTES, type RunListFrame } from './run-list-collector.ts';

/** The first bytes on every connection, from both sides. */
export const PREFACE: Uint8Array = new TextEncoder().encode('GODWIT\r\n');

/** Everything of a pages frame but the contents, which follow: 4096 bytes a page in the order of the runs. */
export function encodePagesHeader(runs: readonly PageRun[]): Uint8Array {
  const runBytes = runs.length * RUN_BYTES;
  const bytes = encodeFrameHeader('pages', 4 + runBytes + countPages(runs) * PAGE_SIZE, 4 + runBytes);
  writeU32(bytes, FRAME_HEADER_BYTES, runs.length);
  writeRuns(bytes, FRAME_HEADER_BYTES + 4, runs);
  return bytes;
}

/** Everything of a digestedPages frame but the contents. `digests`: 16 bytes a page in the order of the runs. */
export function encodeDigestedPagesHeader(runs: readonly PageRun[], digests: Uint8Array): Uint8Array {
  const runBytes = runs.length * RUN_BYTES;
  const pages = countPages(runs);
  requireDigests(digests, pages);
  const metadataBytes = 4 + runBytes + pages * PAGE_DIGEST_BYTES;
  const bytes = encodeFrameHeader('digestedPages', metadataBytes + pages * PAGE_SIZE, metadataBytes);
  writeU32(bytes, FRAME_HEADER_BYTES, runs.length);
  writeRuns(bytes, FRAME_HEADER_BYTES + 4, runs);
  bytes.set(digests, FRAME_HEADER_BYTES + 4 + runBytes);
  return bytes;
}

/** A whole zeroPages frame, of at most MAX_RUNS_PER_PART runs. */
export function encodeZeroPages(runs: readonly PageRun[]): Uint8Array {
  const payloadBytes = 4 + runs.length * RUN_BYTES;
  const bytes = encodeFrameHeader('zeroPages', payloadBytes, payloadBytes);
  writeU32(bytes, FRAME_HEADER_BYTES, runs.length);
  writeRuns(bytes, FRAME_HEADER_BYTES + 4, runs);
  return bytes;
}

/** A list of any length as whole frames, the last one marked; an empty list is one empty frame. */
export function* encodeRunList(frame: RunListFrame, runs: readonly PageRun[]): Generator<Uint8Array, void> {
  let from = 0;
  do {
    const part = runs.slice(from, from + MAX_RUNS_PER_PART);
    from += part.length;
    const payloadBytes = RUN_LIST_PART_BYTES + part.length * RUN_BYTES;
    const bytes = encodeFrameHeader(frame, payloadBytes, payloadBytes);
    writeU32(bytes, FRAME_HEADER_BYTES, part.length);
    writeU32(bytes, FRAME_HEADER_BYTES + 4, from === runs.length ? 1 : 0);
    writeRuns(bytes, FRAME_HEADER_BYTES + RUN_LIST_PART_BYTES, part);
    yield bytes;
  } while (from < runs.length);
}

/** The header of a stateChunk or consoleChunk; `dataBytes` raw bytes follow. */
export function encodeChunkHeader(frame: 'stateChunk' | 'consoleChunk', dataBytes: number): Uint8Array {
  return encodeFrameHeader(frame, dataBytes, 0);
}

/** A whole pageRequest frame, for at most MAX_PAGES_PER_FRAME pages. */
export function encodePageRequest(sequence: number, run: PageRun): Uint8Array {
  const bytes = encodeFrameHeader('pageRequest', 16, 16);
  writeU32(bytes, FRAME_HEADER_BYTES, sequence);
  writeU64(bytes, FRAME_HEADER_BYTES + 4, run.first);
  writeU32(bytes, FRAME_HEADER_BYTES + 12, run.count);
  return bytes;
}

/**
 * Everything of a pageReply frame but the contents of its `data` runs, which follow in the order of the runs.
 *
 * @param digests - 16 bytes a page of the `data` runs, or undefined to send none
 */
export function encodePageReplyHeader(
  sequence: number,
  runs: readonly ReplyRun[],
  digests?: Uint8Array | undefined,
): Uint8Array {
  let dataPages = 0;
  for (const run of runs) if (run.kind === 'data') dataPages += run.count;
  if (digests !== undefined) requireDigests(digests, dataPages);
  const metadataBytes = 12 + runs.length * REPLY_RUN_BYTES + (digests?.length ?? 0);
  const bytes = encodeFrameHeader('pageReply', metadataBytes + dataPages * PAGE_SIZE, metadataBytes);
  writeU32(bytes, FRAME_HEADER_BYTES, sequence);
  writeU32(bytes, FRAME_HEADER_BYTES + 4, digests === undefined ? 0 : 1);
  writeU32(bytes, FRAME_HEADER_BYTES + 8, runs.length);
  let at = FRAME_HEADER_BYTES + 12;
  for (const run of runs) {
    writeU64(bytes, at, run.first);
    writeU32(bytes, at + 8, run.count);
    writeU32(bytes, at + 12, REPLY_KINDS.indexOf(run.kind));
    at += REPLY_RUN_BYTES;
  }
  if (digests !== undefined) bytes.set(digests, at);
  return bytes;
}

function requireDigests(digests: Uint8Array, pages: number): void {
  if (digests.length !== pages * PAGE_DIGEST_BYTES) {
    throw new GodwitError('GW_INTERNAL', { reason: `${digests.length} bytes of digests for ${pages} pages` });
  }
}
