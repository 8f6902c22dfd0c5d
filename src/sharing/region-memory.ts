/**
 * The memory of a shared region on this host: its file, and the userfaultfds of the QEMUs that have it mapped.
 *
 * Owns: both. Must hold (docs/sharing.md, "The mechanism must" 2 to 6): a page is taken away in the order protect in every
 * process, read, punch, wake; it is installed once and woken everywhere; zeros are put into a hole only by `settle`; a
 * process that has gone is dropped, whatever was being done. One thread uses it, and that thread never touches the
 * memory itself: all goes by pread, pwrite and the userfaultfds.
 */
import { fstatSync } from 'node:fs';
import { GodwitError, hasCode } from '../base/errors.ts';
import { PAGE_SIZE, type PageIndex } from '../base/page.ts';
import type { FaultBatch } from '../linux/fault-batch.ts';
import { isAlive, readMappings } from '../linux/process.ts';
import { RamFile } from '../linux/ram-file.ts';
import { type CopyOutcome, Userfaultfd } from '../linux/userfaultfd.ts';
import { REGION_FEATURES } from '../migration/shared-part.ts';
import type { RegionOfGroup, WatchedVm } from './region-orders.ts';

/** `noMemory`: the host is full; to be tried again, nothing has changed. */
export type Placing = 'placed' | 'noMemory';

interface Watched {
  readonly vm: string;
  readonly start: bigint;
  readonly uffd: Userfaultfd;
}

export class RegionMemory implements Disposable {
  readonly pages: number;
  readonly #bytes: number;
  readonly #file: RamFile;
  readonly #onGone: (vm: string) => void;
  #watched: readonly Watched[] = [];
  #faulting: readonly { readonly vm: string; readonly fd: number }[] = [];

  /** @param onGone - the process of this VM has ended and is not watched any more */
  constructor({ path, bytes }: RegionOfGroup, onGone: (vm: string) => void) {
    this.#file = RamFile.open(path, bytes);
    this.#bytes = bytes;
    this.pages = bytes / PAGE_SIZE;
    this.#onGone = onGone;
  }

  /** In the order in which they came; another list as soon as there is another one. */
  get watched(): readonly { readonly vm: string; readonly fd: number }[] {
    return this.#faulting;
  }

  /**
   * Makes a userfaultfd inside the process and watches the region's mapping. The process keeps it: should we die, who
   * misses a page waits, instead of reading zeros.
   * @returns its number inside the process
   */
  watch(vm: WatchedVm): number {
    this.#requireMapping(vm);
    const device = vm.deviceFdInside === undefined ? {} : { deviceFdInside: vm.deviceFdInside };
    const uffd = Userfaultfd.openInside(vm.pid, { features: REGION_FEATURES, keepInside: true, ...device });
    try {
      uffd.register(vm.hostAddress, this.#bytes, { missing: true, writeProtect: true });
    } catch (error) {
      uffd.releaseInside();
      uffd[Symbol.dispose]();
      throw error;
    }
    this.#setWatched([...this.#watched, { vm: vm.vm, start: vm.hostAddress, uffd }]);
    return uffd.insideFd!;
  }

  /**
   * Watches with a userfaultfd that the process has already, and by which the mapping is registered.
   * @param registersAgain - who made it was killed, perhaps while it ended the watch
   */
  attach(vm: WatchedVm, insideFd: number, registersAgain = false): void {
    this.#requireMapping(vm);
    const uffd = Userfaultfd.fetch(vm.pid, insideFd);
    if (registersAgain) uffd.register(vm.hostAddress, this.#bytes, { missing: true, writeProtect: true });
    this.#setWatched([...this.#watched, { vm: vm.vm, start: vm.hostAddress, uffd }]);
  }

  /** Leaves the process as it is: it is being ended. */
  drop(vm: string): void {
    for (const each of this.#watched) if (each.vm === vm) each.uffd[Symbol.dispose]();
    this.#setWatched(this.#watched.filter((each) => each.vm !== vm));
  }

  /** Leaves every process as it was found, and lets those that wait go on. */
  release(): void {
    this.#each(({ uffd, start }) => uffd.unregister(start, this.#bytes));
    this.#each(({ uffd }) => {
      try {
        uffd.releaseInside();
      } catch (error) {
        // Without a registration what stays open in QEMU does nothing.
        if (!hasCode(error, 'GW_SYS_INJECT')) throw error;
      }
    });
    for (const { uffd } of this.#watched) uffd[Symbol.dispose]();
    this.#setWatched([]);
  }

  /** Those whose process has ended. Nothing else tells of one that is never touched again. */
  dropEnded(): void {
    this.#each(({ uffd }) => uffd.refuseEnded());
  }

  /** @returns how many faults of the VM `batch` holds now */
  readFaults(index: number, batch: FaultBatch): number {
    return this.#watched[index]?.uffd.readFaults(batch) ?? 0;
  }

  /** Of a fault in the batch; may lie outside the region. */
  pageOf(index: number, batch: FaultBatch, fault: number): PageIndex {
    return batch.offsetFrom(fault, this.#watched[index]!.start) / PAGE_SIZE;
  }

  /**
   * Reads the page into `copy` and takes it from everybody.
   * @param keep - the copy is whole, and nobody can write the page any more; it is still there
   */
  takeAway(page: PageIndex, copy: Uint8Array, keep: () => void): void {
    this.#each(({ uffd, start }) => uffd.writeProtect(addressOf(start, page), PAGE_SIZE, true));
    this.#file.read(page * PAGE_SIZE, copy);
    keep();
    this.#file.punch(page * PAGE_SIZE, PAGE_SIZE);
    this.wakeAll(page);
  }

  /** Whether its file has the page, or any of so many. */
  has(page: PageIndex, count = 1): boolean {
    return this.#file.dataRuns(page, page + count).length > 0;
  }

  /**
   * What a process that was killed may not have done any more: pages that were given are taken from everybody, and whoever
   * waits for something faults again, because nobody knows which faults had been read.
   */
  recover(given: readonly PageIndex[]): void {
    for (const page of given) this.#file.punch(page * PAGE_SIZE, PAGE_SIZE);
    this.#each(({ uffd, start }) => uffd.wake(start, this.#bytes));
  }

  /** Puts a page into its hole, and wakes who waits for it. @param data - null: zeros, which are memory from then on */
  install(page: PageIndex, data: Uint8Array | null): Placing {
    for (const each of this.#watched) {
      const { uffd, start } = each;
      const to = addressOf(start, page);
      const { kind } = data === null ? uffd.zero(to, PAGE_SIZE) : uffd.copy(to, data);
      if (kind === 'noMemory') return kind;
      if (kind === 'processGone') this.#lose(each);
      else return this.#installed(page, kind);
    }
    return data === null ? 'placed' : this.#write(page, data);
  }

  /** Who waits for the page anywhere tries again. */
  wakeAll(page: PageIndex): void {
    this.#each(({ uffd, start }) => uffd.wake(addressOf(start, page), PAGE_SIZE));
  }

  /** The page is here: fills its hole with zeros if it has one, and wakes the VM. */
  settle(page: PageIndex, vm: string): Placing {
    let placing: Placing = 'placed';
    this.#each((each) => {
      if (each.vm !== vm) return;
      const { uffd, start } = each;
      const at = addressOf(start, page);
      const { kind } = uffd.zero(at, PAGE_SIZE);
      if (kind === 'noMemory') placing = kind;
      else if (kind === 'processGone') this.#lose(each);
      else uffd.wake(at, PAGE_SIZE);
    });
    return placing;
  }

  /** Lets the VM write the page, and wakes it: a mark of an earlier `takeAway` had stayed behind. */
  unprotect(page: PageIndex, index: number): void {
    const at = this.#watched[index];
    this.#each((each) => {
      if (each === at) each.uffd.writeProtect(addressOf(each.start, page), PAGE_SIZE, false);
    });
  }

  [Symbol.dispose](): void {
    for (const { uffd } of this.#watched) uffd[Symbol.dispose]();
    this.#setWatched([]);
    this.#file[Symbol.dispose]();
  }

  #setWatched(watched: readonly Watched[]): void {
    this.#watched = watched;
    this.#faulting = watched.map(({ vm, uffd }) => ({ vm, fd: uffd.fd }));
  }

  #installed(page: PageIndex, kind: CopyOutcome['kind']): Placing {
    // Somebody has reached the page who is not watched; what was written there is not the region's.
    if (kind === 'alreadyPresent') throw foundPresent(page);
    this.wakeAll(page);
    return 'placed';
  }

  /** With nobody attached there is nobody to wake. */
  #write(page: PageIndex, data: Uint8Array): Placing {
    try {
      this.#file.write(page * PAGE_SIZE, data);
      return 'placed';
    } catch (error) {
      if (hasCode(error, 'GW_SYS_NO_ROOM')) return 'noMemory';
      throw error;
    }
  }

  #each(act: (watched: Watched) => void): void {
    for (const each of this.#watched) {
      try {
        act(each);
      } catch (error) {
        if (!hasCode(error, 'GW_SYS_PROCESS_GONE')) throw error;
        this.#lose(each);
      }
    }
  }

  #lose({ vm }: Watched): void {
    this.drop(vm);
    this.#onGone(vm);
  }

  /** Another process, or another mapping, must not be taken for the region. */
  #requireMapping({ vm, pid, startTicks, hostAddress }: WatchedVm): void {
    if (!isAlive({ pid, startTicks })) throw new GodwitError('GW_SYS_PROCESS_GONE', { pid });
    const { ino } = fstatSync(this.#file.fd);
    const isMapped = readMappings(pid).some(
      ({ inode, start, end, permissions }) =>
        inode === ino && start <= hostAddress && hostAddress < end && permissions.endsWith('s'),
    );
    if (isMapped) return;
    const reason = `VM ${vm} has not mapped the region's file at 0x${hostAddress.toString(16)}`;
    throw new GodwitError('GW_INTERNAL', { reason });
  }
}

function addressOf(start: bigint, page: PageIndex): bigint {
  return start + BigInt(page * PAGE_SIZE);
}

function foundPresent(page: PageIndex): GodwitError {
  const reason = `page ${page} of the region is in its file before it came: something that is not watched has touched it`;
  return new GodwitError('GW_INTERNAL', { reason });
}
