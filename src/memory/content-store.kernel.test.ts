/** What is found is what was asked for, whatever becomes of the images. */
import { closeSync, openSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { PAGE_SIZE } from '../base/page.ts';
import type { FilePiece } from '../linux/ram-file.ts';
import { ContentIndexBuilder } from './content-index.ts';
import { ContentStore, ContentTable, type HeldImage } from './content-store.ts';
import { FileImage } from './file-image.ts';
import { PageFingerprint } from './page-fingerprint.ts';

const fingerprint = new PageFingerprint(new Uint8Array(32).fill(9));
const directory = new TempDirectory();
let images = 0;

afterAll(() => directory[Symbol.dispose]());

/** Page `number` holds `seeds[number]` in every byte. */
class ImageFile implements HeldImage {
  readonly index;
  readonly image: FileImage;
  readonly #path: string;

  constructor(seeds: readonly number[]) {
    this.#path = directory.join(`image-${images++}`);
    writeFileSync(this.#path, Buffer.concat(seeds.map((seed) => Buffer.alloc(PAGE_SIZE, seed))));
    this.image = new FileImage(this.#path);
    const builder = new ContentIndexBuilder(seeds.length);
    for (const [number, seed] of seeds.entries()) builder.add(number, of(seed));
    this.index = builder.finish();
  }

  /** Other pages, as many or fewer. */
  become(seeds: readonly number[]): void {
    writeFileSync(this.#path, Buffer.concat(seeds.map((seed) => Buffer.alloc(PAGE_SIZE, seed))));
  }
}

const of = (seed: number): Buffer => fingerprint.of(new Uint8Array(4096).fill(seed), 0);
const byte = fc.integer({ min: 0, max: 255 });

test('everything that is in an image is found, once it has been read whole, and nothing else', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(byte, { maxLength: 40 }), { maxLength: 4 }), async (contents) => {
      using store = await ContentStore.of(
        fingerprint,
        contents.map((seeds) => new ImageFile(seeds)),
      );
      // As another thread has it.
      const table = new ContentTable(structuredClone(store.share()));
      const into = new Uint8Array(4096);
      for (let seed = 0; seed < 256; seed++) {
        const isHeld = contents.some((seeds) => seeds.includes(seed));
        expect(store.fetch(of(seed), into)).toBe(isHeld);
        expect(table.fetch(of(seed), into)).toBe(isHeld);
        if (!isHeld) continue;
        expect(store.filter.mayHave(of(seed))).toBe(true);
        expect(into.every((each) => each === seed)).toBe(true);
      }
    }),
    { numRuns: 30 },
  );
});

test('ten thousand pages that are alike take no longer than others', async () => {
  const same = new ImageFile(Array.from({ length: 10_000 }, (_, i) => (i % 100 === 0 ? i / 100 : 200)));
  using store = await ContentStore.of(fingerprint, [same]);
  expect(store.fetch(of(200), new Uint8Array(4096))).toBe(true);
});

test('a page that has changed or gone since is not held any more', async () => {
  const image = new ImageFile([1, 2, 3]);
  using store = await ContentStore.of(fingerprint, [image]);
  const into = new Uint8Array(4096);
  image.become([1, 7]);
  expect([1, 2, 3].map((seed) => store.fetch(of(seed), into))).toEqual([true, false, false]);
});

test('of an image whose owner has ended nothing is held any more, and nobody else gets its descriptor', async () => {
  const kept = new ImageFile([1]);
  const left = new ImageFile([2]);
  let isOver = false;
  const owned = { index: left.index, image: Object.assign(left.image, { isOver: () => isOver }) };
  using store = await ContentStore.of(fingerprint, [owned, kept]);
  const table = new ContentTable(structuredClone(store.share()));
  const held = (): boolean[] => [1, 2].map((seed) => table.fetch(of(seed), new Uint8Array(4096)));
  const [{ fd }] = owned.image.pieces as [FilePiece];
  const path = readlinkSync(`/proc/self/fd/${fd}`);
  store.releaseEnded();
  expect(held()).toEqual([true, true]);
  isOver = true;
  store.releaseEnded();
  store.releaseEnded();
  expect(readdirSync('/proc/self/fd').map((name) => leadsTo(name))).not.toContain(path);
  // What comes next does not get the number: reading it where a page is meant to be would be an error.
  const others = Array.from({ length: 20 }, () => openSync('/proc/self', 'r'));
  expect(others).not.toContain(fd);
  expect(held()).toEqual([true, false]);
  for (const other of others) closeSync(other);
});

/** undefined: it is closed by now. */
function leadsTo(descriptor: string): string | undefined {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`);
  } catch {
    return undefined;
  }
}
