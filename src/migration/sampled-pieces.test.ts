import fc from 'fast-check';
import { expect, test } from 'vitest';
import { HUGE_PAGE_BYTES, type KnownRegion } from './known-ram.ts';
import { choosePieces, MAX_WATCHED_BYTES } from './sampled-pieces.ts';

const MIB = 2 ** 20;
const region = (id: string, bytes: number, address: number): KnownRegion => ({
  id,
  bytes,
  address: String(address),
  fdPath: `/proc/1/fd/${id}`,
});

test('of a small VM all is watched', () => {
  const regions = [region('ram', MAX_WATCHED_BYTES, 0x1000)];
  expect(choosePieces(regions, 0.3)).toEqual({ pieces: regions, scale: 1 });
});

test('of a large one pieces, wherever it lies: whole huge pages in their region, apart, and no more than that', () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 65_536 }), { minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(
      sizes,
      fc.integer({ min: 0, max: 4095 }),
      fc.double({ min: 0, max: 0.999, noNaN: true }),
      (mibs, page, phase) => {
        const regions = mibs.map((mib, i) => region(`ram${i}`, mib * MIB, (i + 1) * 2 ** 40 + page * 4096));
        const { pieces, scale } = choosePieces(regions, phase);
        const total = mibs.reduce((sum, mib) => sum + mib, 0) * MIB;
        const watched = pieces.reduce((sum, { bytes }) => sum + bytes, 0);
        expect(watched).toBeLessThanOrEqual(MAX_WATCHED_BYTES);
        if (total <= MAX_WATCHED_BYTES) return;
        if (watched > 0) expect(watched * scale).toBeCloseTo(total, 0);
        expect(new Set(pieces.map(({ address }) => address)).size).toBe(pieces.length);
        for (const { id, address, bytes } of pieces) {
          const home = regions.find((each) => id.startsWith(`${each.id}@`))!;
          expect(Number(address) % HUGE_PAGE_BYTES).toBe(0);
          expect(Number(address)).toBeGreaterThanOrEqual(Number(home.address));
          expect(Number(address) + bytes).toBeLessThanOrEqual(Number(home.address) + home.bytes);
        }
      },
    ),
  );
});

test('of 64 GiB nearly all pieces are found, and other ones the next time', () => {
  const regions = [region('ram', 64 * 1024 * MIB, 2 ** 40)];
  const [first, second] = [0.1, 0.6].map((phase) => choosePieces(regions, phase).pieces.map(({ address }) => address));
  expect(first!.length).toBeGreaterThan(60);
  expect(first!.filter((address) => second!.includes(address))).toEqual([]);
});
