/**
 * The server's replies to requests.
 *
 * Owns: their bytes; the data of a read goes behind its header without being copied. Pure.
 */
import { ALLOCATION_CONTEXT_ID } from './negotiation.ts';
import {
  NBD_REPLY_FLAG_DONE,
  NBD_REPLY_TYPE_BLOCK_STATUS,
  NBD_REPLY_TYPE_ERROR,
  NBD_REPLY_TYPE_ERROR_OFFSET,
  NBD_REPLY_TYPE_NONE,
  NBD_REPLY_TYPE_OFFSET_DATA,
  NBD_REPLY_TYPE_OFFSET_HOLE,
  NBD_SIMPLE_REPLY_MAGIC,
  NBD_STATE_HOLE,
  NBD_STATE_ZERO,
  NBD_STRUCTURED_REPLY_MAGIC,
  type NbdError,
} from './numbers.ts';
import { writeUInt64 } from './option-replies.ts';
import type { NbdRequest } from './request-decoder.ts';

/** The client's mark. */
export type Cookie = Pick<NbdRequest, 'cookieHigh' | 'cookieLow'>;

/** A part of an image: data, or a hole that reads as zero. */
export interface Extent {
  readonly offset: number;
  readonly bytes: number;
  readonly isHole: boolean;
}

export const SIMPLE_REPLY_BYTES = 16;
const CHUNK_HEADER_BYTES = 20;

export function encodeSimpleReply({ cookieHigh, cookieLow }: Cookie, error: NbdError): Buffer {
  const bytes = Buffer.allocUnsafe(SIMPLE_REPLY_BYTES);
  bytes.writeUInt32BE(NBD_SIMPLE_REPLY_MAGIC, 0);
  bytes.writeUInt32BE(error, 4);
  bytes.writeUInt32BE(cookieHigh, 8);
  bytes.writeUInt32BE(cookieLow, 12);
  return bytes;
}

/** What stands before `bytes` bytes of data. */
export function encodeDataHeader(cookie: Cookie, offset: number, bytes: number, isLast: boolean): Buffer {
  const header = chunk(cookie, NBD_REPLY_TYPE_OFFSET_DATA, isLast, 8, bytes);
  writeUInt64(header, CHUNK_HEADER_BYTES, offset);
  return header;
}

export function encodeHole(cookie: Cookie, offset: number, bytes: number, isLast: boolean): Buffer {
  const reply = chunk(cookie, NBD_REPLY_TYPE_OFFSET_HOLE, isLast, 12);
  writeUInt64(reply, CHUNK_HEADER_BYTES, offset);
  reply.writeUInt32BE(bytes, CHUNK_HEADER_BYTES + 8);
  return reply;
}

/** Success of what has nothing to tell. */
export function encodeNone(cookie: Cookie): Buffer {
  return chunk(cookie, NBD_REPLY_TYPE_NONE, true, 0);
}

export function encodeBlockStatus(cookie: Cookie, extents: readonly Extent[]): Buffer {
  const reply = chunk(cookie, NBD_REPLY_TYPE_BLOCK_STATUS, true, 4 + extents.length * 8);
  reply.writeUInt32BE(ALLOCATION_CONTEXT_ID, CHUNK_HEADER_BYTES);
  extents.forEach(({ bytes, isHole }, index) => {
    reply.writeUInt32BE(bytes, CHUNK_HEADER_BYTES + 4 + index * 8);
    reply.writeUInt32BE(isHole ? NBD_STATE_HOLE | NBD_STATE_ZERO : 0, CHUNK_HEADER_BYTES + 8 + index * 8);
  });
  return reply;
}

/** @param offset - where reading failed, when that is known */
export function encodeError(cookie: Cookie, error: NbdError, text: string, offset?: number): Buffer {
  const words = Buffer.from(text);
  const type = offset === undefined ? NBD_REPLY_TYPE_ERROR : NBD_REPLY_TYPE_ERROR_OFFSET;
  const reply = chunk(cookie, type, true, 6 + words.length + (offset === undefined ? 0 : 8));
  reply.writeUInt32BE(error, CHUNK_HEADER_BYTES);
  reply.writeUInt16BE(words.length, CHUNK_HEADER_BYTES + 4);
  reply.set(words, CHUNK_HEADER_BYTES + 6);
  if (offset !== undefined) writeUInt64(reply, CHUNK_HEADER_BYTES + 6 + words.length, offset);
  return reply;
}

/** @param following - bytes that come behind what is returned and belong to the chunk */
function chunk(cookie: Cookie, type: number, isLast: boolean, payloadBytes: number, following = 0): Buffer {
  const bytes = Buffer.allocUnsafe(CHUNK_HEADER_BYTES + payloadBytes);
  bytes.writeUInt32BE(NBD_STRUCTURED_REPLY_MAGIC, 0);
  bytes.writeUInt16BE(isLast ? NBD_REPLY_FLAG_DONE : 0, 4);
  bytes.writeUInt16BE(type, 6);
  bytes.writeUInt32BE(cookie.cookieHigh, 8);
  bytes.writeUInt32BE(cookie.cookieLow, 12);
  bytes.writeUInt32BE(payloadBytes + following, 16);
  return bytes;
}
