import { expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { hash128 } from './xxhash.ts';

function hex(memory: Uint8Array, offset: number, length: number, seed = 0): string {
  const into = new BigUint64Array(4);
  hash128(memory, offset, length, seed, into, 2);
  return into[3]!.toString(16).padStart(16, '0') + into[2]!.toString(16).padStart(16, '0');
}

requireCapability('xxhash')('hash128', () => {
  test('gives the value that xxhash.h documents for no input', () => {
    expect(hex(new Uint8Array(0), 0, 0)).toBe('99aa06d3014798d86001c324468d497f');
  });

  test('hashes the bytes at the offset only, and depends on the seed', () => {
    const page = new Uint8Array(4096).map((_, at) => at * 7);
    const shifted = new Uint8Array(8192).fill(255);
    shifted.set(page, 100);
    expect(hex(shifted, 100, 4096, 5)).toBe(hex(page, 0, 4096, 5));
    expect(hex(page, 0, 4096, 6)).not.toBe(hex(page, 0, 4096, 5));
  });

  test('refuses to read outside the buffer', () => {
    expect(() => hex(new Uint8Array(4096), 1, 4096)).toThrow(RangeError);
  });
});
