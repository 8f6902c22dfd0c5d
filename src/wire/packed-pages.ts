/**
 * The packedPages frame: pages in fewer bytes than they have. Layout: docs/protocol.md.
 *
 * Owns: both directions of it: what is in front of the body, and the body once it is unpacked. Packing itself is no
 * business of this folder.
 * Must hold: the size of the body is known and bounded before anything is unpacked; a body is taken only if it is as
 * long as its pages say, to the byte.
 */
import { PAGE_SIZE, type PageRun } from '../base/page.ts';
import { encodeFrameHeader, invalidFrame } from './frame-types.ts';
import {
  ELSEWHERE_BYTES,
  FINGERPRINT_BYTES,
  FRAME_HEADER_BYTES,
  LINE_BYTES,
  LINE_MASK_BYTES,
  MAX_PAGES_PER_FRAME,
  MIGRATION_NAME_BYTES,
  PACKED_RUN_BYTES,
  PAGE_DIGEST_BYTES,
} from './limits.ts';
import { readU32, readU64, writeU32, writeU64 } from './little-endian.ts';
import { checkRun, checkTotal, requireRoom } from './run-list.ts';

/** What is packed how; the number of each is its index. */
export const PACK_CODECS = ['none', 'lz4', 'zstd'] as const;
export type PackCodec = (typeof PACK_CODECS)[number];

/**
 * `data`: the whole page. `delta`: the 64-byte lines that differ from what the destination has. `held`: the fingerprint
 * of a page that the destination holds somewhere. `elsewhere`: that of one that it has, or is about to have, in the
 * memory of a VM that came or comes to it, and which that is.
 */
export const PACKED_KINDS = ['data', 'delta', 'held', 'elsewhere'] as const;
export type PackedKind = (typeof PACKED_KINDS)[number];

export interface PackedRun extends PageRun {
  readonly kind: PackedKind;
}

export interface PackedPages {
  readonly codec: PackCodec;
  readonly runs: readonly PackedRun[];
  readonly pages: number;
  /** Of the body when it is unpacked. */
  readonly bodyBytes: number;
  /** 16 bytes a page, of what the page is in the end; undefined when the source sends none. */
  readonly digests: Uint8Array | undefined;
  /** A view of the payload; for codec `none` the body itself. */
  readonly packed: Uint8Array;
}

/** Takes a body apart. Both get views of it. */
export interface PackedSink {
  data(run: PageRun, contents: Uint8Array): void;
  /** The lines that the mask has a bit for, in ascending order; bit 0 of `low` is the page's first line. */
  delta(page: number, low: number, high: number, lines: Uint8Array): void;
  held(page: number, fingerprint: Uint8Array): void;
  elsewhere(page: number, place: Elsewhere): void;
}

/** Where the contents of a page are. */
export interface Elsewhere {
  readonly fingerprint: Uint8Array;
  /** The beginning of the id of the migration that the VM came by. */
  readonly migration: Uint8Array;
  /** In that VM. */
  readonly page: number;
}

const FIXED_BYTES = 16;
const SMALLEST: Readonly<Record<PackedKind, number>> = {
  data: PAGE_SIZE,
  delta: LINE_MASK_BYTES,
  held: FINGERPRINT_BYTES,
  elsewhere: ELSEWHERE_BYTES,
};
const LARGEST: Readonly<Record<PackedKind, number>> = {
  data: PAGE_SIZE,
  delta: LINE_MASK_BYTES + PAGE_SIZE,
  held: FINGERPRINT_BYTES,
  elsewhere: ELSEWHERE_BYTES,
};
/** They may turn out not to be here. */
const NAMED: ReadonlySet<PackedKind> = new Set(['held', 'elsewhere']);

/** Everything of a packedPages frame but the packed body. @param digests - 16 bytes a page, or undefined */
export function encodePackedPagesHeader(
  frame: Pick<PackedPages, 'codec' | 'runs' | 'bodyBytes' | 'digests'>,
  packedBytes: number,
): Uint8Array {
  const { codec, runs, bodyBytes, digests } = frame;
  const metadataBytes = FIXED_BYTES + runs.length * PACKED_RUN_BYTES + (digests?.length ?? 0);
  const bytes = encodeFrameHeader('packedPages', metadataBytes + packedBytes, metadataBytes);
  writeU32(bytes, FRAME_HEADER_BYTES, PACK_CODECS.indexOf(codec));
  writeU32(bytes, FRAME_HEADER_BYTES + 4, digests === undefined ? 0 : 1);
  writeU32(bytes, FRAME_HEADER_BYTES + 8, runs.length);
  writeU32(bytes, FRAME_HEADER_BYTES + 12, bodyBytes);
  let at = FRAME_HEADER_BYTES + FIXED_BYTES;
  for (const run of runs) {
    writeU64(bytes, at, run.first);
    writeU32(bytes, at + 8, run.count);
    writeU32(bytes, at + 12, PACKED_KINDS.indexOf(run.kind));
    at += PACKED_RUN_BYTES;
  }
  if (digests !== undefined) bytes.set(digests, at);
  return bytes;
}

/** @throws GW_WIRE_FRAME_INVALID */
export function decodePackedPages(payload: Uint8Array, pageCount: number): PackedPages {
  const codec = PACK_CODECS[readU32(payload, 0)];
  if (codec === undefined) throw invalidFrame('packedPages', 'its codec is unknown');
  const digested = readU32(payload, 4);
  if (digested > 1) throw invalidFrame('packedPages', 'its digest flag is neither 0 nor 1');
  const runCount = readU32(payload, 8);
  const bodyBytes = readU32(payload, 12);
  requireRoom('packedPages', payload, FIXED_BYTES, runCount, PACKED_RUN_BYTES);
  const runs = new Array<PackedRun>(runCount);
  let at = FIXED_BYTES;
  let endPage = 0;
  let pages = 0;
  let smallest = 0;
  let largest = 0;
  for (let i = 0; i < runCount; i++, at += PACKED_RUN_BYTES) {
    const first = readU64(payload, at);
    const count = readU32(payload, at + 8);
    const kind = PACKED_KINDS[readU32(payload, at + 12)];
    if (kind === undefined) throw invalidFrame('packedPages', 'a run is of an unknown kind');
    // Who is told a digest installs what comes; a page that turns out not to be held could not be.
    if (NAMED.has(kind) && digested === 1) throw invalidFrame('packedPages', 'a page that is only named has a digest');
    checkRun('packedPages', first, count, endPage, pageCount);
    endPage = first + count;
    pages += count;
    checkTotal('packedPages', pages, MAX_PAGES_PER_FRAME);
    smallest += count * SMALLEST[kind];
    largest += count * LARGEST[kind];
    runs[i] = { first, count, kind };
  }
  if (pages === 0) throw invalidFrame('packedPages', 'it has no pages');
  if (bodyBytes < smallest || bodyBytes > largest) {
    throw invalidFrame('packedPages', `a body of ${bodyBytes} bytes is none of ${pages} such pages`);
  }
  const packedAt = at + (digested === 1 ? pages * PAGE_DIGEST_BYTES : 0);
  const packedBytes = payload.length - packedAt;
  const isPossible = codec === 'none' ? packedBytes === bodyBytes : packedBytes > 0 && packedBytes < bodyBytes;
  if (!isPossible) {
    throw invalidFrame('packedPages', `${packedBytes} bytes are not a body of ${bodyBytes} with codec ${codec}`);
  }
  return {
    codec,
    runs,
    pages,
    bodyBytes,
    digests: digested === 1 ? payload.subarray(at, packedAt) : undefined,
    packed: payload.subarray(packedAt),
  };
}

/** Hands the pages of an unpacked body on, in order. @throws GW_WIRE_FRAME_INVALID when it is not what the runs say */
export function readPackedBody(frame: Pick<PackedPages, 'runs'>, body: Uint8Array, sink: PackedSink): void {
  let at = 0;
  const take = (bytes: number): Uint8Array => {
    if (at + bytes > body.length) throw invalidFrame('packedPages', 'its body ends in the middle of a page');
    at += bytes;
    return body.subarray(at - bytes, at);
  };
  for (const run of frame.runs) {
    if (run.kind === 'data') {
      sink.data(run, take(run.count * PAGE_SIZE));
      continue;
    }
    for (let page = run.first; page < run.first + run.count; page++) {
      if (run.kind === 'held') {
        sink.held(page, take(FINGERPRINT_BYTES));
        continue;
      }
      if (run.kind === 'elsewhere') {
        sink.elsewhere(page, readElsewhere(take(ELSEWHERE_BYTES)));
        continue;
      }
      const mask = take(LINE_MASK_BYTES);
      const low = readU32(mask, 0);
      const high = readU32(mask, 4);
      sink.delta(page, low, high, take((countBits(low) + countBits(high)) * LINE_BYTES));
    }
  }
  if (at !== body.length) throw invalidFrame('packedPages', `its body has ${body.length - at} bytes too many`);
}

/** Into the first ELSEWHERE_BYTES of `into`. */
export function writeElsewhere(into: Uint8Array, { fingerprint, migration, page }: Elsewhere): void {
  into.set(fingerprint);
  into.set(migration, FINGERPRINT_BYTES);
  writeU32(into, FINGERPRINT_BYTES + MIGRATION_NAME_BYTES, page);
}

function readElsewhere(bytes: Uint8Array): Elsewhere {
  const pageAt = FINGERPRINT_BYTES + MIGRATION_NAME_BYTES;
  return {
    fingerprint: bytes.subarray(0, FINGERPRINT_BYTES),
    migration: bytes.subarray(FINGERPRINT_BYTES, pageAt),
    page: readU32(bytes, pageAt),
  };
}

export function countBits(word: number): number {
  let pairs = word - ((word >>> 1) & 0x55555555);
  pairs = (pairs & 0x33333333) + ((pairs >>> 2) & 0x33333333);
  return Math.imul((pairs + (pairs >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
