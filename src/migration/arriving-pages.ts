/**
 * Puts pages that arrive into the VM's memory at the destination, as one of several threads that do so.
 *
 * Owns: which way they go: into the RAM file while no page is missing, into the running VM from then on; unpacking; and
 * what is known of each page. Must hold: everything from the peer was checked by the decoders of wire/; a page counts as
 * received when it is in place, and not before; what was missing is installed once.
 */
import { PAGE_SIZE, type PageIndex, type PageRun, RunBuilder } from '../base/page.ts';
import { PageBitmap } from '../base/page-bitmap.ts';
import { createPageDigest, type DigestScheme, type PageDigest } from '../memory/digest.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import type { PageInstaller } from '../memory/page-installer.ts';
import { type FetchHeld, PageUnpacker } from '../transfer/page-unpacker.ts';
import { invalidFrame } from '../wire/frame-types.ts';
import type { Elsewhere, PackedPages } from '../wire/packed-pages.ts';
import type { PagesPayload } from '../wire/page-payloads.ts';
import type { ArrivingMemory } from './arrival-words.ts';
import { AwaitedPages } from './awaited-pages.ts';
import type { ElsewherePages } from './elsewhere-pages.ts';

/** What of the VM's memory is needed. */
export type PlacedMemory = Pick<GuestMemory, 'readPages' | 'writePages' | 'punch'>;

export class ArrivingPages {
  readonly #memory: PlacedMemory;
  readonly #received: PageBitmap;
  readonly #missed: PageBitmap;
  readonly #untold: PageBitmap;
  readonly #unpacker = new PageUnpacker();
  readonly #digest: PageDigest | undefined;
  readonly #notHeld: (runs: readonly PageRun[]) => void;
  #contents: { fetch: FetchHeld } | undefined;
  #elsewhere: Pick<ElsewherePages, 'fetch'> | undefined;
  readonly #awaited = new AwaitedPages();
  readonly #page = new Uint8Array(PAGE_SIZE);
  #installer: PageInstaller | undefined;

  constructor(
    memory: PlacedMemory,
    { received, missed, untoldMissed }: Pick<ArrivingMemory, 'received' | 'missed' | 'untoldMissed'>,
    pageCount: number,
    verify: DigestScheme | null,
    notHeld: (runs: readonly PageRun[]) => void = () => undefined,
  ) {
    this.#notHeld = notHeld;
    this.#memory = memory;
    this.#received = new PageBitmap(pageCount, received);
    this.#missed = new PageBitmap(pageCount, missed);
    this.#untold = new PageBitmap(pageCount, untoldMissed);
    this.#digest = verify === null ? undefined : createPageDigest(verify);
  }

  /** Pages are missing from now on, and go into the running VM. */
  get isPaging(): boolean {
    return this.#installer !== undefined;
  }

  /** The source may name pages that are in here. */
  hold(contents: { fetch: FetchHeld }): void {
    this.#contents = contents;
  }

  /** The source may name pages of other VMs. */
  share(elsewhere: Pick<ElsewherePages, 'fetch'>): void {
    this.#elsewhere = elsewhere;
  }

  /** Pages that were named and whose contents another VM is to bring. */
  get awaited(): Pick<AwaitedPages, 'count' | 'dueMs'> {
    return this.#awaited;
  }

  /**
   * Looks again for pages that are waited for. Returns how many are in place now.
   * @param isLast - also for those that are not due; where something else has come nothing is waited for any more
   */
  retryAwaited(nowMs: number, isLast = false): number {
    let placed = 0;
    this.#awaited.retry(
      nowMs,
      ({ page, place }) => {
        // It has come otherwise.
        if (!this.#missed.has(page)) return true;
        const found = this.#elsewhere!.fetch(place, this.#page);
        if (found !== 'here') return isLast && found === 'other';
        const runs = [{ first: page, count: 1 }];
        this.#memory.writePages(runs[0]!, this.#page);
        this.settle(runs);
        this.#untold.releaseRun(page, 1);
        placed++;
        return true;
      },
      isLast,
    );
    return placed;
  }

  /** They are sent by the source when it hears of them. */
  forgetAwaited(): void {
    this.#awaited.clear();
  }

  pageWith(installer: PageInstaller): void {
    this.#installer = installer;
  }

  /** Returns how many pages are in place now. @throws GW_SYS_NO_ROOM, GW_MIGRATION_VERIFY */
  takePages({ runs, pages, data, digests }: PagesPayload): number {
    if (digests) this.#digest?.check(runs, data, digests);
    if (this.#installer) return this.#installer.install(runs, data, digests);
    let at = 0;
    for (const run of runs) {
      const bytes = run.count * PAGE_SIZE;
      this.#memory.writePages(run, data.subarray(at, at + bytes));
      at += bytes;
    }
    this.settle(runs);
    return pages;
  }

  /** Returns how many pages are in place now. @throws GW_WIRE_FRAME_INVALID and those of `takePages` */
  takePacked(frame: PackedPages): number {
    const readOld = (page: number, into: Uint8Array): boolean => {
      if (this.#installer || !this.#received.has(page)) return false;
      this.#memory.readPages({ first: page, count: 1 }, into);
      return true;
    };
    const unpacked = this.#unpacker.unpack(
      frame,
      readOld,
      (fingerprint, into) => this.#fetch(fingerprint, into),
      (page, place, into) => this.#fetchElsewhere(page, place, into),
    );
    if (this.#installer) {
      const missing = this.#stillMissing(unpacked.missed, this.#installer);
      if (missing.length > 0) this.#notHeld(missing);
      return this.takePages(unpacked);
    }
    for (const { first, count } of unpacked.missed) {
      this.#missed.claimRun(first, count);
      this.#untold.claimRun(first, count);
    }
    this.#awaited.endFrame(performance.now());
    return this.takePages(unpacked);
  }

  /** Returns how many pages are in place now that were missing. */
  takeZeroPages(runs: readonly PageRun[]): number {
    if (this.#installer) return this.#installer.install(runs, null);
    // Pages that never came have nothing to give back.
    for (const { first, count } of runs) {
      for (const had of this.#received.runs(first, first + count)) this.#memory.punch(had);
      this.#received.releaseRun(first, count);
      this.#missed.releaseRun(first, count);
    }
    return 0;
  }

  /** The contents of these pages are in the RAM file. */
  settle(runs: readonly PageRun[]): void {
    for (const { first, count } of runs) {
      this.#received.claimRun(first, count);
      this.#missed.releaseRun(first, count);
    }
  }

  #fetch(fingerprint: Uint8Array, into: Uint8Array): boolean {
    if (this.#contents) return this.#contents.fetch(fingerprint, into);
    // The VM runs here: after a restart nothing is held any more, and the source has it all the same.
    if (this.#installer) return false;
    throw invalidFrame('packedPages', 'it names a page by its contents where nothing is held');
  }

  #fetchElsewhere(page: PageIndex, place: Elsewhere, into: Uint8Array): boolean {
    if (!this.#elsewhere) throw invalidFrame('packedPages', 'it names a page of another VM where none are shared');
    if (this.#elsewhere.fetch(place, into) === 'here') return true;
    // Somebody may wait for a page of a VM that runs.
    if (!this.#installer) this.#awaited.add(page, place);
    return false;
  }

  #stillMissing(runs: readonly PageRun[], installer: PageInstaller): readonly PageRun[] {
    const missing = new RunBuilder();
    for (const { first, count } of runs) {
      for (let page = first; page < first + count; page++) if (installer.isMissing(page)) missing.add(page, 1);
    }
    return missing.finish();
  }
}
