/**
 * Copies of pages that were given and not acknowledged yet: for so long they exist nowhere else for certain.
 *
 * Owns: their memory, a bounded piece. Must hold: a copy does not change until it is forgotten; a page of zeros takes no
 * memory.
 */
import { GodwitError } from '../base/errors.ts';
import { PAGE_SIZE, type PageIndex } from '../base/page.ts';
import { isZeroPage } from '../base/zero-page.ts';

const ZEROS = -1;

export class PageCopies {
  readonly #memory: Uint8Array<ArrayBuffer>;
  readonly #words: Int32Array;
  /** Slots in #memory by page. */
  readonly #slots = new Map<PageIndex, number>();
  readonly #free: number[];

  constructor(maxPages: number) {
    this.#memory = new Uint8Array(maxPages * PAGE_SIZE);
    this.#words = new Int32Array(this.#memory.buffer);
    this.#free = Array.from({ length: maxPages }, (_, slot) => slot);
  }

  get count(): number {
    return this.#slots.size;
  }

  /** @param fill - writes the page's contents */
  make(page: PageIndex, fill: (copy: Uint8Array) => void): void {
    const slot = this.#free.pop();
    if (slot === undefined || this.#slots.has(page)) {
      throw new GodwitError('GW_INTERNAL', { reason: `no room for a copy of page ${page} of a shared region` });
    }
    fill(this.#view(slot));
    const isZero = isZeroPage(this.#words, slot);
    if (isZero) this.#free.push(slot);
    this.#slots.set(page, isZero ? ZEROS : slot);
  }

  /** A view, or null for zeros. */
  read(page: PageIndex): Uint8Array | null {
    const slot = this.#slots.get(page);
    if (slot === undefined) throw new GodwitError('GW_INTERNAL', { reason: `no copy of page ${page} was kept` });
    return slot === ZEROS ? null : this.#view(slot);
  }

  forget(page: PageIndex): void {
    const slot = this.#slots.get(page);
    this.#slots.delete(page);
    if (slot !== undefined && slot !== ZEROS) this.#free.push(slot);
  }

  #view(slot: number): Uint8Array {
    return this.#memory.subarray(slot * PAGE_SIZE, (slot + 1) * PAGE_SIZE);
  }
}
