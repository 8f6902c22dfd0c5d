/**
 * Frames of one page channel that came before the VM's QEMU was there, and so before there was a place for them.
 *
 * Owns: their payloads, in the order in which they came. Must hold: all threads of a migration together keep no more than
 * `MAX_HELD_BYTES`, and one frame each beyond it; then they leave the rest in the link, which holds the source up.
 */
import type { FrameHeader } from '../wire/frame-types.ts';
import { ArrivalWords } from './arrival-words.ts';

/** A quarter of a second at 1 Gbit/s: a QEMU takes a tenth to start, and three on a busy host. */
export const MAX_HELD_BYTES = 32 * 2 ** 20;

export interface HeldFrame {
  readonly header: FrameHeader;
  readonly payload: Uint8Array;
}

export class HeldFrames implements Disposable {
  readonly #words: Int32Array;
  readonly #frames: HeldFrame[] = [];

  /** @param words - see ArrivalWords; of all threads of the migration */
  constructor(words: Int32Array) {
    this.#words = words;
  }

  get isEmpty(): boolean {
    return this.#frames.length === 0;
  }

  get hasRoom(): boolean {
    return Atomics.load(this.#words, ArrivalWords.heldBytes) < MAX_HELD_BYTES;
  }

  /** Reads the payload that follows the header. @throws GW_WIRE_CLOSED */
  take(channel: { read(into: Uint8Array): void }, header: FrameHeader): void {
    const payload = new Uint8Array(header.payloadBytes);
    Atomics.add(this.#words, ArrivalWords.heldBytes, payload.length);
    this.#frames.push({ header, payload });
    try {
      channel.read(payload);
    } catch (error) {
      this.#release(this.#frames.pop()!);
      throw error;
    }
  }

  /** The one that came first, which is the caller's. */
  next(): HeldFrame | undefined {
    const frame = this.#frames.shift();
    if (frame) this.#release(frame);
    return frame;
  }

  [Symbol.dispose](): void {
    while (this.next());
  }

  #release({ payload }: HeldFrame): void {
    Atomics.sub(this.#words, ArrivalWords.heldBytes, payload.length);
  }
}
