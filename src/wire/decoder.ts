/**
 * Bytes from a connection to frames.
 *
 * Owns: one buffer that the socket reads into and that complete frames are handed out of, without a copy in between.
 * Must hold: a header is checked as soon as its 8 bytes are there, before its payload is waited for; the buffer never
 * grows; after an error every later call throws the same error again, because the boundary of frames is lost.
 */
import { GodwitError } from '../base/errors.ts';
import { PREFACE } from './encoder.ts';
import { type FrameType, type PeerRole, readFrameHeader } from './frame-types.ts';
import { DECODER_BUFFER_BYTES, FRAME_HEADER_BYTES, MAX_FRAME_PAYLOAD } from './limits.ts';

export interface DecodedFrame {
  readonly kind: 'frame';
  readonly type: FrameType;
  /** A view of the decoder's buffer: valid until the next `writable` or `push`. */
  readonly payload: Uint8Array;
}

export type DecoderStep = DecodedFrame | { readonly kind: 'needMore' };

const NEED_MORE = { kind: 'needMore' } as const;

export class FrameDecoder {
  readonly #peer: PeerRole;
  readonly #buffer = new Uint8Array(DECODER_BUFFER_BYTES);
  /** The bytes from #start to #end have arrived and were not handed out. */
  #start = 0;
  #end = 0;
  #prefaceSeen: boolean;
  #failure: unknown;

  /**
   * @param peer - the role of the host whose frames come in
   * @param preface - `seen`: another decoder has read the connection's first bytes already
   */
  constructor(peer: PeerRole, preface: 'expected' | 'seen' = 'expected') {
    this.#peer = peer;
    this.#prefaceSeen = preface === 'seen';
  }

  /** Bytes that have arrived and do not form a complete frame, or were not asked for by `next`. */
  get bufferedBytes(): number {
    return this.#end - this.#start;
  }

  /**
   * Where the next bytes belong; never empty. Ends the life of payloads handed out before. Call `next` until it says
   * needMore in between: with frames left unread the room runs out, which is GW_INTERNAL.
   */
  writable(): Uint8Array {
    if (this.#start === this.#end) {
      this.#start = 0;
      this.#end = 0;
    } else if (this.#buffer.length - this.#start < FRAME_HEADER_BYTES + MAX_FRAME_PAYLOAD) {
      // What is left is the beginning of one frame, and it happens once in 2 MiB: cheaper than a ring with two parts.
      this.#buffer.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
    if (this.#end === this.#buffer.length) throw noRoom('the decoder is full of frames that nobody took');
    return this.#buffer.subarray(this.#end);
  }

  /** The same, with no room for more than what the opening, the next header or the next frame lacks. */
  writableForNext(): Uint8Array {
    return this.writable().subarray(0, this.#lackingBytes());
  }

  /** Tells that `bytes` bytes were written to the beginning of the last `writable`. */
  commit(bytes: number): void {
    if (!(bytes >= 0 && bytes <= this.#buffer.length - this.#end)) {
      throw noRoom(`${bytes} bytes were committed to the decoder where ${this.#buffer.length - this.#end} fit`);
    }
    this.#end += bytes;
  }

  /** Copies a chunk in; for chunks that came in a buffer of their own, as in Node's data events. */
  push(chunk: Uint8Array): void {
    const room = this.writable();
    if (chunk.length > room.length) throw noRoom(`a chunk of ${chunk.length} bytes does not fit the decoder`);
    room.set(chunk);
    this.#end += chunk.length;
  }

  /**
   * The next complete frame, or that more bytes are needed for it.
   *
   * @throws GW_WIRE_BAD_MAGIC, GW_WIRE_FRAME_UNKNOWN, GW_WIRE_FRAME_TOO_LARGE, GW_WIRE_FRAME_INVALID
   */
  next(): DecoderStep {
    if (this.#failure !== undefined) throw this.#failure;
    try {
      return this.#prefaceSeen || this.#readPreface() ? this.#readFrame() : NEED_MORE;
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }

  #lackingBytes(): number {
    if (!this.#prefaceSeen) return PREFACE.length - this.bufferedBytes;
    if (this.bufferedBytes < FRAME_HEADER_BYTES) return FRAME_HEADER_BYTES - this.bufferedBytes;
    const { payloadBytes } = readFrameHeader(this.#buffer, this.#start, this.#peer);
    return FRAME_HEADER_BYTES + payloadBytes - this.bufferedBytes;
  }

  /** Refuses at the first byte that differs, so that a stranger is told apart without waiting for eight bytes. */
  #readPreface(): boolean {
    const there = Math.min(this.bufferedBytes, PREFACE.length);
    for (let i = 0; i < there; i++) {
      if (this.#buffer[this.#start + i] !== PREFACE[i]) throw new GodwitError('GW_WIRE_BAD_MAGIC');
    }
    if (there < PREFACE.length) return false;
    this.#start += PREFACE.length;
    this.#prefaceSeen = true;
    return true;
  }

  #readFrame(): DecoderStep {
    if (this.bufferedBytes < FRAME_HEADER_BYTES) return NEED_MORE;
    const { type, payloadBytes } = readFrameHeader(this.#buffer, this.#start, this.#peer);
    const end = this.#start + FRAME_HEADER_BYTES + payloadBytes;
    if (end > this.#end) return NEED_MORE;
    const payload = this.#buffer.subarray(this.#start + FRAME_HEADER_BYTES, end);
    this.#start = end;
    return { kind: 'frame', type, payload };
  }
}

function noRoom(reason: string): GodwitError {
  return new GodwitError('GW_INTERNAL', { reason });
}
