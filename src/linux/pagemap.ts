/**
 * Which pages of another process were written, or are there, by the PAGEMAP_SCAN ioctl.
 *
 * Owns: the descriptor of /proc/PID/pagemap and the scan's memory. `collect` needs the range registered for
 * asynchronous write-protection by a userfaultfd of that process (memory/dirty-tracker.ts).
 * Must hold: one owner, because collecting clears. Only writes through the page tables of that process are seen.
 * Addresses are split with 32-bit views: a bigint per page region would cost more than the scan.
 * https://docs.kernel.org/admin-guide/mm/pagemap.html#pagemap-scan-ioctl
 */
import { GodwitError } from '../base/errors.ts';
import { PAGE_SIZE, type PageIndex, type PageRun, RunBuilder } from '../base/page.ts';
import { O_CLOEXEC, O_RDONLY } from './abi/files.ts';
import {
  PAGE_IS_PRESENT,
  PAGE_IS_WRITTEN,
  PAGE_REGION_HALF_WORDS,
  PAGEMAP_SCAN,
  PM_SCAN_ARG_WORDS,
  PM_SCAN_CHECK_WPASYNC,
  PM_SCAN_WP_MATCHING,
  PmScanArg,
} from './abi/pagemap.ts';
import { FileDescriptor } from './file-descriptor.ts';
import { PidFd, processError } from './pidfd.ts';
import { addressOf, lastErrno, raw } from './raw.ts';

/** 1.5 MiB of results: one call suffices unless every other page of 512 MiB is dirty. */
const MAX_REGIONS_PER_SCAN = 65_536;

/** A range of pages of a process; page numbers count from its start. */
export class DirtyScanner implements Disposable {
  readonly pageCount: number;
  readonly #process: PidFd;
  readonly #pagemap: FileDescriptor;
  readonly #start: bigint;
  readonly #startHigh: number;
  readonly #startLow: number;
  readonly #argument = new BigUint64Array(PM_SCAN_ARG_WORDS);
  readonly #argumentHalves = new Uint32Array(this.#argument.buffer);
  readonly #maxRegions: number;
  readonly #regions: Uint32Array;
  readonly #regionsAddress: bigint;

  constructor(pid: number, start: bigint, bytes: number) {
    this.#process = PidFd.open(pid);
    try {
      this.#pagemap = FileDescriptor.open(`/proc/${pid}/pagemap`, O_RDONLY | O_CLOEXEC);
    } catch (error) {
      this.#process[Symbol.dispose]();
      throw error;
    }
    this.pageCount = bytes / PAGE_SIZE;
    this.#maxRegions = Math.min(MAX_REGIONS_PER_SCAN, this.pageCount);
    this.#regions = new Uint32Array(this.#maxRegions * PAGE_REGION_HALF_WORDS);
    this.#regionsAddress = addressOf(this.#regions);
    this.#start = start;
    this.#startHigh = Number(start >> 32n);
    this.#startLow = Number(start & 0xffffffffn);
  }

  /**
   * The pages written since the last call (or since `arm`), which count as unwritten from this instant on: the kernel
   * write-protects each page in the same step in which it reports it.
   */
  collect(firstPage: PageIndex = 0, pageCount: number = this.pageCount - firstPage): PageRun[] {
    return this.#scan(firstPage, pageCount, PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC, PAGE_IS_WRITTEN);
  }

  /** As `collect`, but changes nothing. */
  peek(firstPage: PageIndex = 0, pageCount: number = this.pageCount - firstPage): PageRun[] {
    return this.#scan(firstPage, pageCount, PM_SCAN_CHECK_WPASYNC, PAGE_IS_WRITTEN);
  }

  /** The pages in the page tables of the process; the RAM file may hold more. Needs no userfaultfd. */
  present(): PageRun[] {
    return this.#scan(0, this.pageCount, 0n, PAGE_IS_PRESENT);
  }

  /** Lets every page count as unwritten from now on, never touched ones too; reports nothing. */
  arm(): void {
    this.#prepare(PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC, PAGE_IS_WRITTEN);
    this.#argument[PmScanArg.start] = this.#start;
    this.#argument[PmScanArg.end] = this.#start + BigInt(this.pageCount) * BigInt(PAGE_SIZE);
    this.#argument[PmScanArg.vec] = 0n;
    this.#argument[PmScanArg.vecLen] = 0n;
    this.#ioctl();
    this.#refuseEnded();
  }

  [Symbol.dispose](): void {
    this.#pagemap[Symbol.dispose]();
    this.#process[Symbol.dispose]();
  }

  #scan(firstPage: PageIndex, pageCount: number, flags: bigint, category: bigint): PageRun[] {
    if (firstPage < 0 || pageCount < 0 || firstPage + pageCount > this.pageCount) {
      throw new RangeError(`Pages ${firstPage}+${pageCount} lie outside a range of ${this.pageCount} pages`);
    }
    const runs = new RunBuilder();
    const end = firstPage + pageCount;
    this.#prepare(flags, category);
    this.#argument[PmScanArg.end] = this.#start + BigInt(end) * BigInt(PAGE_SIZE);
    for (let from = firstPage; from < end; ) {
      this.#argument[PmScanArg.start] = this.#start + BigInt(from) * BigInt(PAGE_SIZE);
      const count = this.#ioctl();
      this.#take(count, runs);
      // A full result may be an incomplete one. `walk_end` can lie before the last region reported (it is left over from
      // a restart inside the kernel), so neither it nor the regions alone say where to go on.
      if (count < this.#maxRegions) break;
      from = Math.max(this.#pageAt(this.#argumentHalves, PmScanArg.walkEnd * 2), this.#endOfRegion(count - 1));
    }
    // Linux 6.18 fails for a process that has ended; a kernel that just finds nothing must not pass for a clean VM.
    const found = runs.finish();
    if (found.length === 0) this.#refuseEnded();
    return found;
  }

  #prepare(flags: bigint, category: bigint): void {
    const argument = this.#argument;
    argument.fill(0n);
    argument[PmScanArg.size] = BigInt(argument.byteLength);
    argument[PmScanArg.flags] = flags;
    argument[PmScanArg.vec] = this.#regionsAddress;
    argument[PmScanArg.vecLen] = BigInt(this.#maxRegions);
    argument[PmScanArg.categoryMask] = category;
    argument[PmScanArg.returnMask] = category;
  }

  #ioctl(): number {
    // SAFETY: the kernel reads and writes the words of #argument and writes at most vec_len regions to #regions (or none
    // where vec is 0); both are fields of that size.
    const count = raw.ioctl(this.#pagemap.fd, PAGEMAP_SCAN, this.#argument);
    if (count === -1) throw processError('PAGEMAP_SCAN', this.#process.pid, lastErrno());
    return count;
  }

  #take(count: number, runs: RunBuilder): void {
    const regions = this.#regions;
    const high = this.#startHigh;
    const low = this.#startLow;
    for (let at = 0; at < count * PAGE_REGION_HALF_WORDS; at += PAGE_REGION_HALF_WORDS) {
      const first = ((regions[at + 1]! - high) * 2 ** 32 + (regions[at]! - low)) / PAGE_SIZE;
      const end = ((regions[at + 3]! - high) * 2 ** 32 + (regions[at + 2]! - low)) / PAGE_SIZE;
      runs.add(first, end - first);
    }
  }

  #endOfRegion(region: number): PageIndex {
    return this.#pageAt(this.#regions, region * PAGE_REGION_HALF_WORDS + 2);
  }

  #pageAt(halves: Uint32Array, at: number): PageIndex {
    return ((halves[at + 1]! - this.#startHigh) * 2 ** 32 + (halves[at]! - this.#startLow)) / PAGE_SIZE;
  }

  #refuseEnded(): void {
    if (this.#process.hasEnded()) throw new GodwitError('GW_SYS_PROCESS_GONE', { pid: this.#process.pid });
  }
}
