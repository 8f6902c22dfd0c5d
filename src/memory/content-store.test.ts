/** What is found is what was asked for, whatever becomes of the images. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ContentIndexBuilder } from './content-index.ts';
import { ContentStore, type HeldImage } from './content-store.ts';
import { PageFingerprint } from './page-fingerprint.ts';

const fingerprint = new PageFingerprint(new Uint8Array(32).fill(9));

/** Page `number` holds `seeds[number]` in every byte. */
class MemoryImage implements HeldImage {
  readonly seeds: number[];
  readonly image = {
    read: (number: number, into: Uint8Array): boolean => {
      const seed = this.seeds[number];
      if (seed === undefined) return false;
      into.fill(seed);
      return true;
    },
    [Symbol.dispose]: () => undefined,
  };
  readonly index;

  constructor(seeds: readonly number[]) {
    this.seeds = [...seeds];
    const builder = new ContentIndexBuilder(seeds.length);
    for (const [number, seed] of seeds.entries()) builder.add(number, of(seed));
    this.index = builder.finish();
  }
}

const of = (seed: number): Buffer => fingerprint.of(new Uint8Array(4096).fill(seed), 0);
const byte = fc.integer({ min: 0, max: 255 });

test('everything that is in an image is found, once it has been read whole, and nothing else', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(byte, { maxLength: 40 }), { maxLength: 4 }), async (contents) => {
      using store = await ContentStore.of(
        fingerprint,
        contents.map((seeds) => new MemoryImage(seeds)),
      );
      const into = new Uint8Array(4096);
      for (let seed = 0; seed < 256; seed++) {
        const isHeld = contents.some((seeds) => seeds.includes(seed));
        expect(store.fetch(of(seed), into)).toBe(isHeld);
        if (!isHeld) continue;
        expect(store.filter.mayHave(of(seed))).toBe(true);
        expect(into.every((each) => each === seed)).toBe(true);
      }
    }),
    { numRuns: 30 },
  );
});

test('ten thousand pages that are alike take no longer than others', async () => {
  const same = new MemoryImage(Array.from({ length: 10_000 }, (_, i) => (i % 100 === 0 ? i / 100 : 200)));
  using store = await ContentStore.of(fingerprint, [same]);
  expect(store.fetch(of(200), new Uint8Array(4096))).toBe(true);
});

test('a page that has changed or gone since is not held any more', async () => {
  const image = new MemoryImage([1, 2, 3]);
  using store = await ContentStore.of(fingerprint, [image]);
  const into = new Uint8Array(4096);
  image.seeds[1] = 7;
  image.seeds.length = 2;
  expect([1, 2, 3].map((seed) => store.fetch(of(seed), into))).toEqual([true, false, false]);
});
