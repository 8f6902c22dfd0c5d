/**
 * What one side of a shared region must not forget, in a file on tmpfs that outlives its process: the turn of every page, the
 * copies of pages that were given and not acknowledged, and how far the region is.
 *
 * Owns: the file's layout. Must hold, at every instruction at which the process may be killed (docs/sharing.md, "A daemon
 * that is killed"):
 * - a page is given from the moment when its new turn is written: its copy is whole by then, and the page is still in the file of
 *   the region, protected, so that before that moment it is here and afterwards it can be punched out once more;
 * - a page is here from the moment when it is in the region's file: that it was about to be is written first, and its turn
 *   afterwards;
 * - nothing is said to the other side of what is not written.
 *
 * Layout, in words of 32 bits: a header, then a turn for each page, then for each slot three words (page + 1 or 0; turn; 1
 * for zeros), then from the next whole page on the slots' contents.
 */
import { GodwitError } from '../base/errors.ts';
import { PAGE_SIZE, type PageIndex } from '../base/page.ts';
import { MappedFile } from '../linux/mapped-file.ts';

/** `GWJ1` in memory of a little-endian host. */
const MAGIC = 0x314a_5747;
const HEADER_WORDS = 16;
const SLOT_WORDS = 3;
const Header = { magic: 0, pages: 1, slots: 2, phase: 3, comingPage: 4, comingTurn: 5 } as const;

/** `told`: the source has said `complete`; the destination has everything. */
const PHASES = ['waiting', 'begun', 'told'] as const;
export type JournalPhase = (typeof PHASES)[number];

/** A page that was given and not acknowledged. */
export interface KeptPage {
  readonly page: PageIndex;
  readonly slot: number;
}

export class RegionJournal implements Disposable {
  readonly slots: number;
  readonly #file: MappedFile;
  readonly #header: Uint32Array<ArrayBuffer>;
  readonly #turns: Uint32Array<ArrayBuffer>;
  readonly #slotWords: Uint32Array<ArrayBuffer>;
  readonly #contents: Uint8Array<ArrayBuffer>;

  private constructor(file: MappedFile, pages: number, slots: number) {
    this.#file = file;
    this.slots = slots;
    const { memory } = file;
    this.#header = new Uint32Array(memory, 0, HEADER_WORDS);
    this.#turns = new Uint32Array(memory, HEADER_WORDS * 4, pages);
    this.#slotWords = new Uint32Array(memory, (HEADER_WORDS + pages) * 4, slots * SLOT_WORDS);
    this.#contents = new Uint8Array(memory, contentsAt(pages, slots), slots * PAGE_SIZE);
  }

  /** Of a region of which no page has moved. @throws GW_SYS_NO_ROOM, GW_SYS_CALL */
  static create(path: string, pages: number, slots: number): RegionJournal {
    const file = MappedFile.create(path, bytesOf(pages, slots));
    const journal = new RegionJournal(file, pages, slots);
    journal.#header[Header.pages] = pages;
    journal.#header[Header.slots] = slots;
    // Last: without it nobody takes the rest for a journal.
    journal.#header[Header.magic] = MAGIC;
    return journal;
  }

  /** Of a process that has ended. @throws GW_INPUT_UNREADABLE when it is not of this region */
  static open(path: string, pages: number, slots: number): RegionJournal {
    const file = MappedFile.open(path, bytesOf(pages, slots));
    const journal = new RegionJournal(file, pages, slots);
    const header = journal.#header;
    const isWhole = header[Header.magic] === MAGIC && header[Header.pages] === pages && header[Header.slots] === slots;
    if (isWhole) return journal;
    journal[Symbol.dispose]();
    throw new GodwitError('GW_INPUT_UNREADABLE', { path, reason: `it is no journal of a region of ${pages} pages` });
  }

  get phase(): JournalPhase {
    return PHASES[this.#header[Header.phase]!] ?? 'told';
  }

  /** There is no way back. */
  enter(phase: JournalPhase): void {
    this.#header[Header.phase] = Math.max(PHASES.indexOf(phase), this.#header[Header.phase]!);
  }

  /** By page; a copy. */
  turns(): Uint32Array {
    return this.#turns.slice();
  }

  /** Contents of a slot; they are part of what is kept from `keep` on. */
  contentsOf(slot: number): Uint8Array<ArrayBuffer> {
    return this.#contents.subarray(slot * PAGE_SIZE, (slot + 1) * PAGE_SIZE);
  }

  isZeros(slot: number): boolean {
    return this.#slotWords[slot * SLOT_WORDS + 2] === 1;
  }

  /** The page is given from now on; its contents are in the slot, unless it has zeros only. */
  keep(page: PageIndex, slot: number, isZeros: boolean): void {
    const at = slot * SLOT_WORDS;
    const turn = this.#turns[page]! + 1;
    this.#slotWords[at + 2] = Number(isZeros);
    this.#slotWords[at + 1] = turn;
    this.#slotWords[at] = page + 1;
    this.#turns[page] = turn;
  }

  forget(slot: number): void {
    this.#slotWords[slot * SLOT_WORDS] = 0;
  }

  /** The page is about to be put into the region's file. */
  expect(page: PageIndex): void {
    const header = this.#header;
    header[Header.comingPage] = 0;
    header[Header.comingTurn] = this.#turns[page]! + 1;
    header[Header.comingPage] = page + 1;
  }

  /** It is there. */
  placed(page: PageIndex): void {
    this.#turns[page]!++;
  }

  /**
   * Brings it to what was done when the process ended.
   * @param isInFile - whether the region's file has the page
   * @returns the pages that were given and not acknowledged
   */
  recover(isInFile: (page: PageIndex) => boolean): KeptPage[] {
    const page = this.#header[Header.comingPage]! - 1;
    if (page >= 0 && this.#header[Header.comingTurn] === this.#turns[page]! + 1 && isInFile(page)) this.placed(page);
    const kept: KeptPage[] = [];
    for (let slot = 0; slot < this.slots; slot++) {
      const keptPage = this.#slotWords[slot * SLOT_WORDS]! - 1;
      if (keptPage < 0) continue;
      // Written before the page was given, or left when it came back.
      if (this.#slotWords[slot * SLOT_WORDS + 1] === this.#turns[keptPage]) kept.push({ page: keptPage, slot });
      else this.forget(slot);
    }
    return kept;
  }

  [Symbol.dispose](): void {
    this.#file[Symbol.dispose]();
  }
}

function contentsAt(pages: number, slots: number): number {
  return Math.ceil(((HEADER_WORDS + pages + slots * SLOT_WORDS) * 4) / PAGE_SIZE) * PAGE_SIZE;
}

function bytesOf(pages: number, slots: number): number {
  return contentsAt(pages, slots) + slots * PAGE_SIZE;
}
