/**
 * The pages that this host holds already, found by what is in them.
 *
 * Owns: a table from fingerprint to where the page lies, and the images. Both can be lent to other threads of this
 * process, which find pages by themselves (`share`, ContentTable). Must hold: what it gives has the fingerprint that was asked
 * for, whatever has become of the image meanwhile: each page is hashed again when it is taken.
 */
import { setImmediate } from 'node:timers/promises';
import { emptyDescriptor } from '../linux/file-descriptor.ts';
import type { FilePiece } from '../linux/ram-file.ts';
import type { ContentIndex } from './content-index.ts';
import { readPieces } from './page-files.ts';
import { PageFilter } from './page-filter.ts';
import { PageFingerprint } from './page-fingerprint.ts';

/** Pages that lie somewhere: in a file, or in the memory of a VM that runs here. */
export interface PageImage extends Disposable {
  /** The files that it is made of, one after the other, open as long as it is. */
  readonly pieces: readonly FilePiece[];
  /** Whether its owner has ended, whose memory stays allocated as long as this is open; absent: it is nobody's. */
  isOver?(): boolean;
}

export interface HeldImage {
  readonly index: ContentIndex;
  readonly image: PageImage;
}

/** Plain data, so that it can be posted to other threads. */
export interface SharedContents {
  readonly key: Uint8Array;
  readonly slots: SharedArrayBuffer;
  readonly images: readonly SharedImage[];
}

interface SharedImage extends ContentIndex {
  /** Entries of the images before it. */
  readonly begin: number;
  readonly pieces: readonly FilePiece[];
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
  readonly #images: readonly PageImage[];
  readonly #released = new Set<PageImage>();
  readonly #table: ContentTable;

  private constructor(fingerprint: PageFingerprint, images: readonly HeldImage[]) {
    let pages = 0;
    const shared = images.map(({ index, image: { pieces } }) => {
      const begin = pages;
      pages += index.pages;
      return { ...index, begin, pieces };
    });
    this.pages = pages;
    this.filter = PageFilter.forPages(pages);
    this.#images = images.map(({ image }) => image);
    const slots = new SharedArrayBuffer(4 * 2 ** Math.ceil(Math.log2(Math.max(2, pages / FILLED_PART))));
    this.#table = new ContentTable({ key: fingerprint.key, slots, images: shared });
  }

  /** @param images - are the store's from now on; of two that have a page the first is taken */
  static async of(fingerprint: PageFingerprint, images: readonly HeldImage[]): Promise<ContentStore> {
    const store = new ContentStore(fingerprint, images);
    for (const { fingerprints, begin, pages } of store.share().images) {
      for (let page = 0; page < pages; page++) {
        if (page % YIELD_ENTRIES === YIELD_ENTRIES - 1) await setImmediate();
        const at = page * FINGERPRINT_BYTES;
        store.filter.add(fingerprints, at);
        store.#table.add(fingerprints, at, begin + page);
      }
    }
    return store;
  }

  /** For threads that are done with it before it is disposed of. */
  share(): SharedContents {
    return this.#table.shared;
  }

  /** False when no image has a page like this any more; `into` may hold anything then. */
  fetch(fingerprint: Uint8Array, into: Uint8Array): boolean {
    return this.#table.fetch(fingerprint, into);
  }

  /**
   * Lets go of the images whose owners have ended, whose pages are not held any more. Threads that use the table have the numbers of
   * their descriptors, which nothing else may get before the store is disposed of.
   */
  releaseEnded(): void {
    const over = this.#images.filter((image) => !this.#released.has(image) && image.isOver?.() === true);
    for (const image of over) {
      this.#released.add(image);
      for (const fd of new Set(image.pieces.map((piece) => piece.fd))) emptyDescriptor(fd);
    }
  }

  [Symbol.dispose](): void {
    for (const image of this.#images) image[Symbol.dispose]();
  }
}

/** The store as any thread of the process uses it. */
export class ContentTable {
  readonly shared: SharedContents;
  readonly #fingerprint: PageFingerprint;
  readonly #images: readonly SharedImage[];
  /** Entries of all images, counted through, + 1; 0 is none. A power of two. */
  readonly #slots: Uint32Array;

  constructor(shared: SharedContents) {
    this.shared = shared;
    this.#fingerprint = new PageFingerprint(shared.key);
    // As buffers again, which a thread gets as plain arrays.
    this.#images = shared.images.map((image) => ({ ...image, fingerprints: asBuffer(image.fingerprints) }));
    this.#slots = new Uint32Array(shared.slots);
  }

  add(fingerprints: Buffer, at: number, entry: number): void {
    const slot = this.#slotOf(fingerprints, at);
    if (this.#slots[slot] === 0) this.#slots[slot] = entry + 1;
  }

  /** See ContentStore. */
  fetch(fingerprint: Uint8Array, into: Uint8Array): boolean {
    const wanted = Buffer.from(fingerprint.buffer, fingerprint.byteOffset, FINGERPRINT_BYTES);
    const entry = this.#slots[this.#slotOf(wanted, 0)]! - 1;
    if (entry < 0) return false;
    const { numbers, pieces, begin } = this.#imageOf(entry);
    return readPieces(pieces, numbers[entry - begin]!, into) && this.#fingerprint.of(into, 0).equals(wanted);
  }

  /** The slot of the page with this fingerprint, or an empty one where it belongs. */
  #slotOf(fingerprints: Buffer, at: number): number {
    const mask = this.#slots.length - 1;
    let slot = fingerprints.readUInt32LE(at + 8) & mask;
    for (; this.#slots[slot] !== 0; slot = (slot + 1) & mask) {
      const entry = this.#slots[slot]! - 1;
      const image = this.#imageOf(entry);
      const other = (entry - image.begin) * FINGERPRINT_BYTES;
      if (image.fingerprints.compare(fingerprints, at, at + FINGERPRINT_BYTES, other, other + FINGERPRINT_BYTES) === 0)
        break;
    }
    return slot;
  }

  #imageOf(entry: number): SharedImage {
    return this.#images.findLast(({ begin }) => begin <= entry)!;
  }
}

function asBuffer({ buffer, byteOffset, byteLength }: Uint8Array<SharedArrayBuffer>): Buffer<SharedArrayBuffer> {
  return Buffer.from(buffer, byteOffset, byteLength);
}
