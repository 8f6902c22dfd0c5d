/**
 * The frames of the migration protocol, version 1. Specification: docs/protocol.md.
 *
 * Owns: the number, name, sender and size limits of every frame, and the frame header.
 * Must hold: a header is checked here, completely, before one byte of its payload is waited for.
 */

import { GodwitError } from '../base/errors.ts';
import { PAGE_SIZE } from '../base/page.ts';
import {
  FRAME_HEADER_BYTES,
  LINE_MASK_BYTES,
  MAX_CONSOLE_CHUNK,
  MAX_CONTROL_BYTES,
  MAX_FILTER_PIECE,
  MAX_OFFER_BYTES,
  MAX_PAGES_PER_FRAME,
  MAX_RUNS_PER_PART,
  MAX_SHARED_PAIRS,
  MAX_STATE_CHUNK,
  PACKED_RUN_BYTES,
  PAGE_DIGEST_BYTES,
  REPLY_RUN_BYTES,
  RUN_BYTES,
  SHARED_PAIR_BYTES,
} from './limits.ts';
import { readU32, writeU32 } from './little-endian.ts';

/** The source host dials; the destination host listens. */
export type PeerRole = 'source' | 'destination';

export interface FrameRow {
  readonly code: number;
  readonly payload: 'json' | 'binary';
  readonly sender: PeerRole | 'both';
  readonly minBytes: number;
  readonly maxBytes: number;
}

const PAGE_AND_RUN = PAGE_SIZE + RUN_BYTES;

/** The table of docs/protocol.md. */
export const FRAMES = {
  hello: json(1, 'source'),
  welcome: json(2, 'destination'),
  offer: json(3, 'source', MAX_OFFER_BYTES),
  ready: json(4, 'destination'),
  refused: json(5, 'destination'),
  join: json(6, 'source'),
  joined: json(7, 'destination'),
  ping: json(8, 'both'),
  pong: json(9, 'both'),
  notReady: json(10, 'destination'),
  offerRegion: json(11, 'source'),
  regionReady: json(12, 'destination'),
  begin: json(13, 'destination'),
  roundEnd: json(16, 'source'),
  roundAck: json(17, 'destination'),
  switchover: json(18, 'source'),
  stateEnd: json(19, 'source'),
  loaded: json(20, 'destination'),
  commit: json(21, 'source'),
  resumed: json(22, 'destination'),
  allPresent: json(23, 'destination'),
  release: json(24, 'source'),
  released: json(25, 'destination'),
  stopped: json(26, 'source'),
  abort: json(32, 'both'),
  aborted: json(33, 'both'),
  failed: json(34, 'both'),
  regionBegin: json(40, 'source'),
  regionComplete: json(41, 'source'),
  regionCompleted: json(42, 'destination'),
  regionCancel: json(43, 'source'),
  pages: binary(64, 'source', 4 + PAGE_AND_RUN, 4 + MAX_PAGES_PER_FRAME * PAGE_AND_RUN),
  digestedPages: binary(
    65,
    'source',
    4 + PAGE_AND_RUN + PAGE_DIGEST_BYTES,
    4 + MAX_PAGES_PER_FRAME * (PAGE_AND_RUN + PAGE_DIGEST_BYTES),
  ),
  zeroPages: binary(66, 'source', 4 + RUN_BYTES, 4 + MAX_RUNS_PER_PART * RUN_BYTES),
  missingRuns: binary(67, 'source', 8, 8 + MAX_RUNS_PER_PART * RUN_BYTES),
  stateChunk: binary(68, 'source', 1, MAX_STATE_CHUNK),
  consoleChunk: binary(69, 'source', 1, MAX_CONSOLE_CHUNK),
  pageRequest: binary(70, 'destination', 16, 16),
  pageReply: binary(
    71,
    'source',
    12 + REPLY_RUN_BYTES,
    12 + MAX_PAGES_PER_FRAME * (REPLY_RUN_BYTES + PAGE_DIGEST_BYTES + PAGE_SIZE),
  ),
  stillMissing: binary(72, 'destination', 8, 8 + MAX_RUNS_PER_PART * RUN_BYTES),
  packedPages: binary(
    73,
    'source',
    16 + PACKED_RUN_BYTES + 1,
    16 + MAX_PAGES_PER_FRAME * (PACKED_RUN_BYTES + PAGE_DIGEST_BYTES + LINE_MASK_BYTES + PAGE_SIZE),
  ),
  heldFilter: binary(74, 'destination', 9, 8 + MAX_FILTER_PIECE),
  missedPages: binary(75, 'destination', 8, 8 + MAX_RUNS_PER_PART * RUN_BYTES),
  sharedPage: binary(76, 'both', SHARED_PAIR_BYTES, SHARED_PAIR_BYTES + PAGE_SIZE),
  sharedAsks: binary(77, 'both', SHARED_PAIR_BYTES, MAX_SHARED_PAIRS * SHARED_PAIR_BYTES),
  sharedAcks: binary(78, 'both', SHARED_PAIR_BYTES, MAX_SHARED_PAIRS * SHARED_PAIR_BYTES),
} as const satisfies Record<string, FrameRow>;

export type FrameName = keyof typeof FRAMES;
export type ControlName = { [N in FrameName]: (typeof FRAMES)[N]['payload'] extends 'json' ? N : never }[FrameName];

/** The type byte of every frame, by name. */
export const FrameType = Object.fromEntries(Object.entries(FRAMES).map(([name, row]) => [name, row.code])) as {
  readonly [N in FrameName]: (typeof FRAMES)[N]['code'];
};
export type FrameType = (typeof FrameType)[FrameName];

const NAMES: ReadonlyMap<number, FrameName> = new Map(
  Object.entries(FRAMES).map(([name, row]) => [row.code, name as FrameName]),
);

export function frameName(type: FrameType): FrameName {
  return NAMES.get(type)!;
}

export interface FrameHeader {
  readonly type: FrameType;
  readonly payloadBytes: number;
}

/**
 * Reads and checks the header at `offset`.
 *
 * @param peer - who sent it
 * @throws GW_WIRE_FRAME_UNKNOWN, GW_WIRE_FRAME_TOO_LARGE, GW_WIRE_FRAME_INVALID
 */
export function readFrameHeader(bytes: Uint8Array, offset: number, peer: PeerRole): FrameHeader {
  const payloadBytes = readU32(bytes, offset);
  const type = bytes[offset + 4]!;
  const name = NAMES.get(type);
  if (name === undefined) throw new GodwitError('GW_WIRE_FRAME_UNKNOWN', { type });
  const row: FrameRow = FRAMES[name];
  if (payloadBytes > row.maxBytes) {
    throw new GodwitError('GW_WIRE_FRAME_TOO_LARGE', { frame: name, length: payloadBytes, limit: row.maxBytes });
  }
  if (payloadBytes < row.minBytes) throw invalidFrame(name, `${payloadBytes} bytes are too few`);
  if (bytes[offset + 5] !== 0) throw invalidFrame(name, 'its flags are not 0');
  if ((bytes[offset + 6]! | bytes[offset + 7]!) !== 0) throw invalidFrame(name, 'its reserved bits are not 0');
  if (row.sender !== 'both' && row.sender !== peer) throw invalidFrame(name, `a ${peer} never sends it`);
  return { type: type as FrameType, payloadBytes };
}

/**
 * The header of a frame of ours with `metadataBytes` of room behind it; the rest of the payload follows from elsewhere.
 *
 * @throws GW_INTERNAL when the peer would have to refuse the size
 */
export function encodeFrameHeader(name: FrameName, payloadBytes: number, metadataBytes: number): Uint8Array {
  const row: FrameRow = FRAMES[name];
  if (!(payloadBytes >= row.minBytes && payloadBytes <= row.maxBytes)) {
    throw new GodwitError('GW_INTERNAL', { reason: `a ${name} frame of ${payloadBytes} bytes cannot be sent` });
  }
  const bytes = new Uint8Array(FRAME_HEADER_BYTES + metadataBytes);
  writeU32(bytes, 0, payloadBytes);
  writeU32(bytes, 4, row.code);
  return bytes;
}

export function invalidFrame(frame: FrameName, reason: string, cause?: unknown): GodwitError {
  return new GodwitError('GW_WIRE_FRAME_INVALID', { frame, reason }, { cause });
}

function json<C extends number, S extends FrameRow['sender']>(
  code: C,
  sender: S,
  maxBytes: number = MAX_CONTROL_BYTES,
) {
  return { code, payload: 'json', sender, minBytes: 2, maxBytes } as const;
}

function binary<C extends number, S extends FrameRow['sender']>(
  code: C,
  sender: S,
  minBytes: number,
  maxBytes: number,
) {
  return { code, payload: 'binary', sender, minBytes, maxBytes } as const;
}
