/**
 * What is to be sent over a region's connection, as one piece of memory: frames are put behind each other until the
 * kernel takes them, so that many of them leave with one call.
 *
 * Owns: that memory, and the encoding of sharedPage, sharedAsks and sharedAcks. Must hold: what is said is sent in the
 * order in which it was said; pairs that follow each other share a frame as long as nothing of it has been taken.
 */
import { GodwitError } from '../base/errors.ts';
import { PAGE_SIZE } from '../base/page.ts';
import { FRAMES } from './frame-types.ts';
import { FRAME_HEADER_BYTES, MAX_SHARED_PAIRS, SHARED_PAIR_BYTES } from './limits.ts';
import { writeU32 } from './little-endian.ts';

/** Some sixty pages: more waits only where the link is slower than the memory. */
const FIRST_BYTES = 256 * 1024;

export class SharedWriter {
  #buffer = new Uint8Array(FIRST_BYTES);
  #start = 0;
  #end = 0;
  /** Where the frame of pairs begins that may still grow; -1 when there is none. */
  #open = -1;

  /** A view of what has not been taken yet; valid until the next call. */
  get pending(): Uint8Array {
    return this.#buffer.subarray(this.#start, this.#end);
  }

  get pendingBytes(): number {
    return this.#end - this.#start;
  }

  /** The kernel has so many bytes of `pending`. */
  taken(bytes: number): void {
    this.#start += bytes;
    if (this.#start > this.#open) this.#open = -1;
    if (this.#start < this.#end) return;
    this.#start = 0;
    this.#end = 0;
    this.#open = -1;
  }

  /** @param data - PAGE_SIZE bytes, copied; null: zeros */
  page(page: number, turn: number, data: Uint8Array | null): void {
    if (data !== null && data.length !== PAGE_SIZE) {
      throw new GodwitError('GW_INTERNAL', { reason: `a page of ${data.length} bytes cannot be sent` });
    }
    const at = this.#begin(FRAMES.sharedPage.code, SHARED_PAIR_BYTES + (data?.length ?? 0));
    this.#writePair(at, page, turn);
    if (data !== null) this.#buffer.set(data, at + SHARED_PAIR_BYTES);
  }

  pair(frame: 'sharedAsks' | 'sharedAcks', page: number, turn: number): void {
    const { code } = FRAMES[frame];
    if (!this.#isOpen(code)) {
      const at = this.#begin(code, SHARED_PAIR_BYTES);
      this.#open = at - FRAME_HEADER_BYTES;
      this.#writePair(at, page, turn);
      return;
    }
    const at = this.#reserve(SHARED_PAIR_BYTES);
    writeU32(this.#buffer, this.#open, this.#end - this.#open - FRAME_HEADER_BYTES);
    this.#writePair(at, page, turn);
  }

  /** A whole frame that was encoded elsewhere. */
  frame(bytes: Uint8Array): void {
    const at = this.#reserve(bytes.length);
    this.#buffer.set(bytes, at);
    this.#open = -1;
  }

  #isOpen(code: number): boolean {
    if (this.#open < 0 || this.#buffer[this.#open + 4] !== code) return false;
    return this.#end - this.#open < FRAME_HEADER_BYTES + MAX_SHARED_PAIRS * SHARED_PAIR_BYTES;
  }

  /** Returns where the payload begins. */
  #begin(code: number, payloadBytes: number): number {
    const at = this.#reserve(FRAME_HEADER_BYTES + payloadBytes);
    writeU32(this.#buffer, at, payloadBytes);
    writeU32(this.#buffer, at + 4, code);
    this.#open = -1;
    return at + FRAME_HEADER_BYTES;
  }

  #reserve(bytes: number): number {
    if (this.#end + bytes > this.#buffer.length) this.#makeRoom(bytes);
    const at = this.#end;
    this.#end += bytes;
    return at;
  }

  #makeRoom(bytes: number): void {
    const pending = this.pending;
    const isHalfEmpty = (pending.length + bytes) * 2 <= this.#buffer.length;
    const buffer = isHalfEmpty
      ? this.#buffer
      : new Uint8Array(Math.max(this.#buffer.length * 2, pending.length + bytes));
    if (isHalfEmpty) buffer.copyWithin(0, this.#start, this.#end);
    else buffer.set(pending);
    if (this.#open >= 0) this.#open -= this.#start;
    this.#end = pending.length;
    this.#start = 0;
    this.#buffer = buffer;
  }

  #writePair(at: number, page: number, turn: number): void {
    writeU32(this.#buffer, at, page);
    writeU32(this.#buffer, at + 4, turn);
  }
}
