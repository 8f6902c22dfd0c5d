/**
 * The pages that this host holds already, found by what is in them.
 *
 * Owns: a table from fingerprint to where the page lies, and the images. Must hold: what it gives has the fingerprint
 * that was asked for, whatever has become of the image meanwhile: each page is hashed again when it is taken.
 */
import { setImmediate } from 'node:timers/promises';
import type { PageIndex } from '../base/page.ts';
import type { ContentIndex } from './content-index.ts';
import { PageFilter } from './page-filter.ts';
import type { PageFingerprint } from './page-fingerprint.ts';

/** Pages that lie somewhere: in a file, or in the memory of a VM that runs here. */
export interface PageImage extends Disposable {
  /** False when the page is not there. */
  read(number: PageIndex, into: Uint8Array): boolean;
}

export interface HeldImage {
  readonly index: ContentIndex;
  readonly image: PageImage;
}

const FINGERPRINT_BYTES = 16;
/** A table that is fuller has long chains. */
const FILLED_PART = 0.5;
/** Entries after which others of this thread have a turn: 2 ms. */
const YIELD_ENTRIES = 16_384;

export class ContentStore implements Disposable {
  readonly filter: PageFilter;
  /** Pages that it holds; one that is in two images counts twice. */
  readonly pages: number;
  readonly #fingerprint: PageFingerprint;
  readonly #images: readonly (HeldImage & { readonly begin: number })[];
  /** Entries of all images, counted through, + 1; 0 is none. A power of two. */
  readonly #slots: Uint32Array;

  private constructor(fingerprint: PageFingerprint, images: readonly HeldImage[]) {
    this.#fingerprint = fingerprint;
    let pages = 0;
    this.#images = images.map((held) => {
      const begin = pages;
      pages += held.index.pages;
      return { ...held, begin };
    });
    this.pages = pages;
    this.filter = PageFilter.forPages(pages);
    this.#slots = new Uint32Array(2 ** Math.ceil(Math.log2(Math.max(2, pages / FILLED_PART))));
  }

  /** @param images - are the store's from now on; of two that have a page the first is taken */
  static async of(fingerprint: PageFingerprint, images: readonly HeldImage[]): Promise<ContentStore> {
    const store = new ContentStore(fingerprint, images);
    for (const { index, begin } of store.#images) {
      for (let page = 0; page < index.pages; page++) {
        if (page % YIELD_ENTRIES === YIELD_ENTRIES - 1) await setImmediate();
        const at = page * FINGERPRINT_BYTES;
        store.filter.add(index.fingerprints, at);
        const slot = store.#slotOf(index.fingerprints, at);
        if (store.#slots[slot] === 0) store.#slots[slot] = begin + page + 1;
      }
    }
    return store;
  }

  /** False when no image has a page like this any more; `into` may hold anything then. */
  fetch(fingerprint: Uint8Array, into: Uint8Array): boolean {
    const wanted = Buffer.from(fingerprint.buffer, fingerprint.byteOffset, FINGERPRINT_BYTES);
    const entry = this.#slots[this.#slotOf(wanted, 0)]! - 1;
    if (entry < 0) return false;
    const { index, image, begin } = this.#imageOf(entry);
    return image.read(index.numbers[entry - begin]!, into) && this.#fingerprint.of(into, 0).equals(wanted);
  }

  [Symbol.dispose](): void {
    for (const { image } of this.#images) image[Symbol.dispose]();
  }

  /** The slot of the page with this fingerprint, or an empty one where it belongs. */
  #slotOf(fingerprints: Buffer, at: number): number {
    const mask = this.#slots.length - 1;
    let slot = fingerprints.readUInt32LE(at + 8) & mask;
    for (; this.#slots[slot] !== 0; slot = (slot + 1) & mask) {
      const entry = this.#slots[slot]! - 1;
      const { index, begin } = this.#imageOf(entry);
      const other = (entry - begin) * FINGERPRINT_BYTES;
      if (index.fingerprints.compare(fingerprints, at, at + FINGERPRINT_BYTES, other, other + FINGERPRINT_BYTES) === 0)
        break;
    }
    return slot;
  }

  #imageOf(entry: number): HeldImage & { readonly begin: number } {
    return this.#images.findLast(({ begin }) => begin <= entry)!;
  }
}
