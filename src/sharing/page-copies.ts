/**
 * Copies of pages that were given and not acknowledged yet: for so long they exist nowhere else for certain.
 *
 * Owns: which slot of the journal has which page. Must hold: a copy does not change until it is forgotten; as many pages as
 * the journal has slots at most.
 */
import { GodwitError } from '../base/errors.ts';
import type { PageIndex } from '../base/page.ts';
import { isZeroPage } from '../base/zero-page.ts';
import type { KeptPage, RegionJournal } from './region-journal.ts';

export class PageCopies {
  readonly #journal: RegionJournal;
  readonly #slots: Map<PageIndex, number>;
  readonly #free: number[];

  /** @param kept - by an earlier process */
  constructor(journal: RegionJournal, kept: readonly KeptPage[] = []) {
    this.#journal = journal;
    this.#slots = new Map(kept.map(({ page, slot }) => [page, slot]));
    const taken = new Set(this.#slots.values());
    this.#free = Array.from({ length: journal.slots }, (_, slot) => slot).filter((slot) => !taken.has(slot));
  }

  get count(): number {
    return this.#slots.size;
  }

  /** @param take - writes the page's contents, calls `keep`, and then takes the page from everybody */
  make(page: PageIndex, take: (copy: Uint8Array, keep: () => void) => void): void {
    const slot = this.#free.pop();
    if (slot === undefined || this.#slots.has(page)) {
      throw new GodwitError('GW_INTERNAL', { reason: `no room for a copy of page ${page} of a shared region` });
    }
    this.#slots.set(page, slot);
    const copy = this.#journal.contentsOf(slot);
    take(copy, () => this.#journal.keep(page, slot, isZeroPage(new Int32Array(copy.buffer, copy.byteOffset, 1024), 0)));
  }

  /** A view, or null for zeros. */
  read(page: PageIndex): Uint8Array | null {
    const slot = this.#slots.get(page);
    if (slot === undefined) throw new GodwitError('GW_INTERNAL', { reason: `no copy of page ${page} was kept` });
    return this.#journal.isZeros(slot) ? null : this.#journal.contentsOf(slot);
  }

  forget(page: PageIndex): void {
    const slot = this.#slots.get(page);
    if (slot === undefined) return;
    this.#slots.delete(page);
    this.#journal.forget(slot);
    this.#free.push(slot);
  }
}
