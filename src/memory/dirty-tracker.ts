/**
 * Which pages of a VM were written since the last look: what every tracker offers, and the one that leaves it to the kernel.
 *
 * Owns: the write-protection of the VM's RAM, and reading it back. Must hold: one tracker per VM, and one owner of it,
 * because `collect` clears; only writes through QEMU's page tables are seen (QEMU's own and the guest's, not those of
 * another process that maps the same file, and not `GuestMemory.writePages`).
 * QEMU is left as it was: `stop` lifts everything, and so does the death of this process, because QEMU keeps no copy of
 * the descriptor. A page that the guest gives back (balloon) counts as written.
 */
import type { PageRun } from '../base/page.ts';
import { RunBuilder } from '../base/page.ts';
import {
  UFFD_FEATURE_PAGEFAULT_FLAG_WP,
  UFFD_FEATURE_WP_ASYNC,
  UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
  UFFD_FEATURE_WP_UNPOPULATED,
} from '../linux/abi/userfaultfd.ts';
import { DirtyScanner } from '../linux/pagemap.ts';
import { Userfaultfd } from '../linux/userfaultfd.ts';
import type { VcpuThrottle } from '../linux/vcpu-throttle.ts';
import type { RamLayout } from './layout.ts';

export interface DirtyTracker extends Disposable {
  /** Slows those who write, and nobody else; null where the tracker has no say in it. */
  readonly throttle: VcpuThrottle | null;
  /** What it did so far. */
  readonly facts: TrackerFacts;
  /** From now on writes are noticed. After an error nothing is tracked, and the tracker is stopped. */
  start(): void;
  /** As many pages may be found written at the next `collect` without harm: the more, the cheaper they may be found. */
  setBudget(pages: number): void;
  /** The pages written since `start` or the last call. */
  collect(): PageRun[];
  /** The pages of the run that `collect` would report; changes nothing. */
  peek(run: PageRun): PageRun[];
  /** Ends the tracking; the VM runs at full speed again. Idempotent; never throws. */
  stop(): void;
}

export interface TrackerFacts {
  readonly kind: 'kernel' | 'groups';
  /** With `groups`. */
  readonly groups: {
    /** Pages of a group as they were asked for: a number, or `auto`. */
    readonly setting: string;
    readonly smallestPages: number;
    readonly largestPages: number;
    readonly faults: number;
    /** Of the faults, made to wait. */
    readonly pacedFaults: number;
  } | null;
}

/** What tracking asks of the kernel. */
const FEATURES =
  UFFD_FEATURE_PAGEFAULT_FLAG_WP |
  UFFD_FEATURE_WP_HUGETLBFS_SHMEM |
  UFFD_FEATURE_WP_UNPOPULATED |
  UFFD_FEATURE_WP_ASYNC;

interface TrackedRegion {
  readonly address: bigint;
  readonly bytes: number;
  readonly firstPage: number;
  readonly scanner: DirtyScanner;
}

/** Asynchronous write-protection by a userfaultfd of QEMU, read with PAGEMAP_SCAN. */
export class KernelDirtyTracker implements DirtyTracker {
  readonly throttle = null;
  readonly facts: TrackerFacts = { kind: 'kernel', groups: null };
  readonly #layout: RamLayout;
  readonly #uffd: Userfaultfd;
  readonly #regions: readonly TrackedRegion[];
  readonly #resources: DisposableStack;
  #tracking = false;

  private constructor(
    layout: RamLayout,
    uffd: Userfaultfd,
    regions: readonly TrackedRegion[],
    resources: DisposableStack,
  ) {
    this.#layout = layout;
    this.#uffd = uffd;
    this.#regions = regions;
    this.#resources = resources;
  }

  /**
   * Makes the userfaultfd inside QEMU; tracks nothing yet.
   *
   * @param addresses - where QEMU has mapped the regions, in the layout's order
   */
  static open(pid: number, layout: RamLayout, addresses: readonly bigint[]): KernelDirtyTracker {
    using resources = new DisposableStack();
    const regions = layout.regions.map(({ bytes, firstPage, index }) => {
      const address = addresses[index]!;
      return { address, bytes, firstPage, scanner: resources.use(new DirtyScanner(pid, address, bytes)) };
    });
    const options = { features: FEATURES, keepInside: false, allowUserModeOnly: true };
    const uffd = resources.use(Userfaultfd.openInside(pid, options));
    return new KernelDirtyTracker(layout, uffd, regions, resources.move());
  }

  /** Whoever closes it ends the tracking. */
  get fd(): number {
    return this.#uffd.fd;
  }

  start(): void {
    if (this.#tracking) return;
    this.#tracking = true;
    try {
      for (const { address, bytes, scanner } of this.#regions) {
        this.#uffd.register(address, bytes, { writeProtect: true });
        scanner.arm();
      }
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  setBudget(): void {
    // Every page is found on its own, whatever it costs.
  }

  collect(): PageRun[] {
    const runs = new RunBuilder();
    for (const { firstPage, scanner } of this.#regions) {
      for (const run of scanner.collect()) runs.add(firstPage + run.first, run.count);
    }
    return runs.finish();
  }

  peek(run: PageRun): PageRun[] {
    const runs = new RunBuilder();
    for (const { region, regionPage, count } of this.#layout.split(run)) {
      const { scanner } = this.#regions[region.index]!;
      for (const written of scanner.peek(regionPage, count)) runs.add(region.firstPage + written.first, written.count);
    }
    return runs.finish();
  }

  stop(): void {
    // The kernel unregisters every range and lifts the protection when the last descriptor is closed.
    this.#resources[Symbol.dispose]();
    this.#tracking = false;
  }

  [Symbol.dispose](): void {
    this.stop();
  }
}
