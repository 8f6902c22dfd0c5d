/** Integers in bytes, compared with DataView. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { readU32, readU64, writeU32, writeU64 } from './little-endian.ts';

const offset = fc.integer({ min: 0, max: 3 });

test('u32 agrees with DataView at every alignment', () => {
  fc.assert(
    fc.property(fc.nat(0xffff_ffff), offset, (value, at) => {
      const bytes = new Uint8Array(8);
      writeU32(bytes, at, value);
      expect(new DataView(bytes.buffer).getUint32(at, true)).toBe(value);
      expect(readU32(bytes, at)).toBe(value);
    }),
  );
});

test('u64 agrees with DataView up to 2^53 - 1', () => {
  fc.assert(
    fc.property(fc.maxSafeNat(), offset, (value, at) => {
      const bytes = new Uint8Array(12);
      writeU64(bytes, at, value);
      expect(new DataView(bytes.buffer).getBigUint64(at, true)).toBe(BigInt(value));
      expect(readU64(bytes, at)).toBe(value);
    }),
  );
});

test.each([
  2n ** 53n,
  2n ** 53n + 1n,
  2n ** 63n,
  2n ** 64n - 1n,
])('u64 %s reads as -1, not as a rounded number', (value) => {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, value, true);
  expect(readU64(bytes, 0)).toBe(-1);
});

test('u64 2^53 - 1 is exact', () => {
  const bytes = Uint8Array.of(255, 255, 255, 255, 255, 255, 0x1f, 0);
  expect(readU64(bytes, 0)).toBe(Number.MAX_SAFE_INTEGER);
});
