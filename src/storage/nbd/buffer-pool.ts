/**
 * Memory for the data of requests.
 *
 * Owns: what is free, in sizes of powers of two. Must hold: what is given back is used by nobody any more; more than
 * MAX_FREE_BYTES is not kept.
 */
const SMALLEST_BITS = 12;
/** What a busy client has in flight; more would only be memory that nothing else can use. */
const MAX_FREE_BYTES: number = 64 * 2 ** 20;

export class BufferPool {
  /** By their number of bits. */
  readonly #free: ArrayBuffer[][] = Array.from({ length: 32 }, () => []);
  #freeBytes = 0;

  /** Of exactly so many bytes; what stands in it is whatever stood there. */
  take(bytes: number): Uint8Array {
    const bits = sizeBits(bytes);
    const found = this.#free[bits]!.pop();
    if (found === undefined) return Buffer.allocUnsafeSlow(2 ** bits).subarray(0, bytes);
    this.#freeBytes -= found.byteLength;
    return Buffer.from(found, 0, bytes);
  }

  giveBack(memory: Uint8Array): void {
    const buffer = memory.buffer as ArrayBuffer;
    if (this.#freeBytes + buffer.byteLength > MAX_FREE_BYTES) return;
    this.#freeBytes += buffer.byteLength;
    this.#free[sizeBits(buffer.byteLength)]!.push(buffer);
  }
}

function sizeBits(bytes: number): number {
  return Math.max(SMALLEST_BITS, 32 - Math.clz32(Math.max(bytes, 1) - 1));
}
