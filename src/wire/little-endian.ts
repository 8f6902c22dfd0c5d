/**
 * Little-endian integers in bytes.
 *
 * Owns: reading and writing u32 and u64 at any alignment. A u64 is handled as two u32 halves, never as a BigInt: the
 * page lists of a large guest hold millions of them.
 */

/** The largest high half of a u64 that is a safe integer (2^53 - 1). */
export const MAX_SAFE_HIGH_HALF = 0x1f_ffff;

export function readU32(bytes: Uint8Array, offset: number): number {
  return (bytes[offset]! | (bytes[offset + 1]! << 8) | (bytes[offset + 2]! << 16) | (bytes[offset + 3]! << 24)) >>> 0;
}

export function writeU32(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value;
  bytes[offset + 1] = value >>> 8;
  bytes[offset + 2] = value >>> 16;
  bytes[offset + 3] = value >>> 24;
}

/** A u64, or -1 when it is above 2^53 - 1. */
export function readU64(bytes: Uint8Array, offset: number): number {
  const high = readU32(bytes, offset + 4);
  return high > MAX_SAFE_HIGH_HALF ? -1 : high * 2 ** 32 + readU32(bytes, offset);
}

/** `value` must be a safe integer, not negative. */
export function writeU64(bytes: Uint8Array, offset: number, value: number): void {
  writeU32(bytes, offset, value >>> 0);
  writeU32(bytes, offset + 4, Math.floor(value / 2 ** 32));
}
