/**
 * XXH3-128 from libxxhash, 5 GB/s by 4 KiB pages.
 *
 * Owns: the binding. apt itself depends on the library, so Debian and Ubuntu have it; `available` says whether this
 * machine does, and whoever hashes names its scheme, so that two hosts never compare different ones.
 * Not a cryptographic hash: it finds pages that differ by accident, not by intent.
 * https://github.com/Cyan4973/xxHash/blob/v0.8.1/xxhash.h
 */
import { GodwitError } from '../base/errors.ts';
import { addressOf, loadXxh3 } from './raw.ts';

const xxh3 = loadXxh3();

export function available(): boolean {
  return xxh3 !== undefined;
}

/**
 * Hashes `length` bytes at `offset` of `memory`, seeded, into `into[slot]` (low half) and `into[slot + 1]` (high half).
 * Throws GW_SYS_UNSUPPORTED without the library.
 */
export function hash128(
  memory: Uint8Array,
  offset: number,
  length: number,
  seed: number,
  into: BigUint64Array,
  slot = 0,
): void {
  if (xxh3 === undefined) {
    throw new GodwitError('GW_SYS_UNSUPPORTED', { feature: 'XXH3 hashing', reason: 'libxxhash.so.0 is not installed' });
  }
  if (offset < 0 || length < 0 || offset + length > memory.byteLength) {
    throw new RangeError(`Hash of ${offset}+${length} is outside a buffer of ${memory.byteLength} bytes`);
  }
  // SAFETY: reads `length` bytes inside `memory`, checked above, which the parameter keeps alive; does not block.
  const hash = xxh3(Number(addressOf(memory)) + offset, length, seed);
  into[slot] = BigInt(hash.low64);
  into[slot + 1] = BigInt(hash.high64);
}
