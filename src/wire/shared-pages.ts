/**
 * The frames of a shared region, decoded. Layouts: docs/protocol.md; what they mean: docs/sharing.md.
 *
 * Owns: sharedPage, sharedAsks, sharedAcks, receiving side. Must hold: every page lies within the region; nothing is
 * allocated by what a peer counts.
 */
import { PAGE_SIZE } from '../base/page.ts';
import { type FrameName, invalidFrame } from './frame-types.ts';
import { SHARED_PAIR_BYTES } from './limits.ts';
import { readU32 } from './little-endian.ts';

export interface SharedPage {
  readonly page: number;
  readonly turn: number;
  /** A view of the payload; null: zeros. */
  readonly data: Uint8Array | null;
}

/** @throws GW_WIRE_FRAME_INVALID */
export function decodeSharedPage(payload: Uint8Array, pageCount: number): SharedPage {
  const dataBytes = payload.length - SHARED_PAIR_BYTES;
  if (dataBytes !== 0 && dataBytes !== PAGE_SIZE) {
    throw invalidFrame('sharedPage', `it has ${dataBytes} bytes of a page`);
  }
  const page = readPage('sharedPage', payload, 0, pageCount);
  return { page, turn: readU32(payload, 4), data: dataBytes === 0 ? null : payload.subarray(SHARED_PAIR_BYTES) };
}

/**
 * Hands out the pages and turns of a sharedAsks or sharedAcks frame in their order.
 * @throws GW_WIRE_FRAME_INVALID, after `take` was called for what was before
 */
export function readSharedPairs(
  frame: FrameName,
  payload: Uint8Array,
  pageCount: number,
  take: (page: number, turn: number) => void,
): void {
  if (payload.length % SHARED_PAIR_BYTES !== 0) throw invalidFrame(frame, `it ends within a pair`);
  for (let at = 0; at < payload.length; at += SHARED_PAIR_BYTES) {
    take(readPage(frame, payload, at, pageCount), readU32(payload, at + 4));
  }
}

function readPage(frame: FrameName, payload: Uint8Array, at: number, pageCount: number): number {
  const page = readU32(payload, at);
  if (page >= pageCount) throw invalidFrame(frame, `page ${page} is not of a region of ${pageCount} pages`);
  return page;
}
