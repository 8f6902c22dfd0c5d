/**
 * Puts pages into a running VM's memory, each exactly once.
 *
 * Owns: the rules by which several threads (the one that serves faults, those that take pushed pages) install pages
 * through one userfaultfd. Must hold:
 * - a page is claimed before it is installed, and marked as there only after the kernel has it: a page that was marked
 *   first could be answered with zeros meanwhile;
 * - a page that is not missing is never overwritten: the guest may have written it since;
 * - never touches guest memory itself, only through UFFDIO_COPY and UFFDIO_ZEROPAGE;
 * - `digest` counts a page when the kernel has taken it from here, and only then.
 */
import { GodwitError } from '../base/errors.ts';
import { PAGE_SIZE, type PageIndex, type PageRun } from '../base/page.ts';
import { PageBitmap } from '../base/page-bitmap.ts';
import type { CopyOutcome, Userfaultfd } from '../linux/userfaultfd.ts';
import { DigestSum } from './digest.ts';
import type { RamLayout } from './layout.ts';
import { PAGE_DIGEST_BYTES } from './page-digest.ts';

/** What the threads share; plain data, so that it can be posted. */
export interface MissingPages {
  readonly pageCount: number;
  /** One bit a page: the source still has it and it is not here. */
  readonly missing: SharedArrayBuffer;
  /** One bit a page: some thread is installing it, or has. */
  readonly claimed: SharedArrayBuffer;
  /** [0] pages that are missing still. */
  readonly remaining: SharedArrayBuffer;
}

export function createMissingPages(pageCount: number): MissingPages {
  const bytes = PageBitmap.byteLength(pageCount);
  return {
    pageCount,
    missing: new SharedArrayBuffer(bytes),
    claimed: new SharedArrayBuffer(bytes),
    remaining: new SharedArrayBuffer(4),
  };
}

export class PageInstaller {
  readonly missing: PageBitmap;
  /** Of the pages that were installed with a digest. */
  readonly digest: DigestSum = new DigestSum();
  readonly #claimed: PageBitmap;
  readonly #remaining: Int32Array;
  readonly #layout: RamLayout;
  readonly #starts: readonly bigint[];
  readonly #uffd: Userfaultfd;

  /** @param starts - where each region of the layout begins in QEMU's address space */
  constructor(shared: MissingPages, layout: RamLayout, starts: readonly bigint[], uffd: Userfaultfd) {
    this.missing = new PageBitmap(shared.pageCount, shared.missing);
    this.#claimed = new PageBitmap(shared.pageCount, shared.claimed);
    this.#remaining = new Int32Array(shared.remaining);
    this.#layout = layout;
    this.#starts = starts;
    this.#uffd = uffd;
  }

  get remaining(): number {
    return Atomics.load(this.#remaining, 0);
  }

  /** Adds pages to those that the source still has; before the guest runs only. Returns how many are new. */
  expect(runs: readonly PageRun[]): number {
    let added = 0;
    for (const run of runs) {
      for (let page = run.first; page < run.first + run.count; page++) if (this.missing.claim(page)) added++;
    }
    Atomics.add(this.#remaining, 0, added);
    return added;
  }

  isMissing(page: PageIndex): boolean {
    return this.missing.has(page);
  }

  /** The page of an address in QEMU, or undefined when it is none of the guest's RAM. */
  pageAt(address: bigint): PageIndex | undefined {
    for (const region of this.#layout.regions) {
      const offset = address - this.#starts[region.index]!;
      if (offset >= 0n && offset < BigInt(region.bytes)) return region.firstPage + Number(offset >> 12n);
    }
    return undefined;
  }

  /**
   * Installs the pages of the runs that are missing and that nobody else has claimed.
   * @param data - the contents, page after page, or null for zero pages
   * @param digests - of the same pages, for `digest`
   * @returns how many pages this call installed
   * @throws GW_SYS_NO_ROOM when the host has no memory; what was not installed can be installed again
   */
  install(runs: readonly PageRun[], data: Uint8Array | null, digests?: Uint8Array): number {
    let installed = 0;
    let at = 0;
    for (const run of runs) {
      const end = run.first + run.count;
      let page = run.first;
      while (page < end) {
        if (!this.#claim(page)) {
          page++;
          continue;
        }
        const first = page;
        page++;
        while (page < end && this.#claim(page)) page++;
        const from = at + first - run.first;
        const contents = data?.subarray(from * PAGE_SIZE, (from + page - first) * PAGE_SIZE);
        this.#place(first, page - first, contents, digests?.subarray(from * PAGE_DIGEST_BYTES));
        installed += page - first;
      }
      at += run.count;
    }
    return installed;
  }

  /** Ends a fault on a page that is not missing: it is here already, or was always zero. */
  settle(page: PageIndex): void {
    const address = this.#addressOf(page);
    const outcome = this.#uffd.zero(address, PAGE_SIZE);
    if (outcome.kind === 'alreadyPresent') this.#uffd.wake(address, PAGE_SIZE);
    else this.#check(outcome);
  }

  #claim(page: PageIndex): boolean {
    return this.missing.has(page) && this.#claimed.claim(page);
  }

  #place(first: PageIndex, count: number, data: Uint8Array | undefined, digests: Uint8Array | undefined): void {
    let done = 0;
    try {
      for (const piece of this.#layout.split({ first, count })) {
        let left = piece.count;
        while (left > 0) {
          const address = this.#addressOf(first + done);
          const bytes = left * PAGE_SIZE;
          const outcome = data
            ? this.#uffd.copy(address, data.subarray(done * PAGE_SIZE, done * PAGE_SIZE + bytes))
            : this.#uffd.zero(address, bytes);
          this.#check(outcome);
          let placed = outcome.kind === 'copied' ? left : 0;
          if (digests) this.#count(digests, done, outcome.kind === 'copied' ? left : outcome.bytes / PAGE_SIZE);
          if (outcome.kind === 'alreadyPresent') {
            // The pages before it were copied; it itself is there, and somebody may wait for it.
            placed = outcome.bytes / PAGE_SIZE + 1;
            this.#uffd.wake(address + BigInt(outcome.bytes), PAGE_SIZE);
          }
          this.#markHere(first + done, placed);
          done += placed;
          left -= placed;
        }
      }
    } catch (error) {
      for (let page = first + done; page < first + count; page++) this.#claimed.release(page);
      throw error;
    }
  }

  #count(digests: Uint8Array, from: number, count: number): void {
    const view = new DataView(digests.buffer, digests.byteOffset + from * PAGE_DIGEST_BYTES, count * PAGE_DIGEST_BYTES);
    for (let at = 0; at < view.byteLength; at += PAGE_DIGEST_BYTES) {
      this.digest.add(view.getBigUint64(at, true), view.getBigUint64(at + 8, true));
    }
  }

  #markHere(first: PageIndex, count: number): void {
    for (let page = first; page < first + count; page++) this.missing.release(page);
    Atomics.sub(this.#remaining, 0, count);
  }

  #check(outcome: CopyOutcome): void {
    if (outcome.kind === 'noMemory') {
      throw new GodwitError('GW_SYS_NO_ROOM', {
        resource: 'memory',
        host: 'this host',
        needed: 'one page',
        available: 'none',
      });
    }
    if (outcome.kind === 'processGone') throw new GodwitError('GW_SYS_PROCESS_GONE', { pid: this.#uffd.pid });
  }

  #addressOf(page: PageIndex): bigint {
    const { region, offset } = this.#layout.locate(page);
    return this.#starts[region.index]! + BigInt(offset);
  }
}
