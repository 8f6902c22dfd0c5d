/**
 * A dirty tracker that resolves write faults itself, in groups of pages, and can slow those who write (M1).
 *
 * Owns: the userfaultfd and the registration. Must hold: no vCPU waits for ever. QEMU keeps no copy of the descriptor, so
 * that the death of this process ends the protection; the death of this thread ends it through whom the descriptor is
 * entrusted to; when the answering thread dies it lifts the protection itself, and when it hangs this one does. Faults
 * that the kernel takes for QEMU must be answered as well, so the userfaultfd is never one for user mode only.
 */
import { GodwitError } from '../base/errors.ts';
import type { PageRun } from '../base/page.ts';
import type { GroupSetting } from '../base/tracker-choice.ts';
import {
  UFFD_FEATURE_PAGEFAULT_FLAG_WP,
  UFFD_FEATURE_THREAD_ID,
  UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
} from '../linux/abi/userfaultfd.ts';
import { isAlive, type ProcessIdentity } from '../linux/process.ts';
import { Userfaultfd } from '../linux/userfaultfd.ts';
import type { DirtyTracker, TrackerFacts } from '../memory/dirty-tracker.ts';
import type { RamLayout } from '../memory/layout.ts';
import { WriteFaultThread } from './write-fault-thread.ts';
import { WriteFaultThrottle } from './write-fault-throttle.ts';

const FEATURES = UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_THREAD_ID;

/**
 * Has somebody else close a descriptor should this thread die without being able to; call what is returned before it is
 * closed here.
 */
export type Entrust = (fd: number) => () => void;

export interface GroupTrackerOptions {
  readonly qemu: ProcessIdentity;
  readonly layout: RamLayout;
  /** Where QEMU has mapped the regions, in the layout's order. */
  readonly starts: readonly bigint[];
  readonly pages: GroupSetting;
  readonly vcpuTids: readonly number[];
  /** Pages of the VM can vanish while it runs (a balloon). */
  readonly canReturnMemory: boolean;
  /** Pages that it is known to write in a second; 0 when nothing is known. */
  readonly pagesPerSecond: number;
  readonly entrust: Entrust;
}

export class GroupDirtyTracker implements DirtyTracker {
  readonly throttle: WriteFaultThrottle;
  readonly #options: GroupTrackerOptions;
  readonly #uffd: Userfaultfd;
  readonly #thread: WriteFaultThread;
  readonly #giveBack: () => void;
  readonly #onExit = (): void => this.stop();
  /** When pages were last found unwritten; undefined: nothing is tracked yet. */
  #sinceMs: number | undefined;
  #failure: GodwitError | undefined;
  #hasStopped = false;

  private constructor(options: GroupTrackerOptions, uffd: Userfaultfd) {
    const { qemu, layout, starts, pages: setting, vcpuTids, canReturnMemory } = options;
    this.#options = options;
    this.#uffd = uffd;
    this.#giveBack = options.entrust(uffd.fd);
    const input = { pid: qemu.pid, fd: uffd.fd, layout: layout.toJSON(), starts, setting, vcpuTids, canReturnMemory };
    this.#thread = new WriteFaultThread(input, layout.pageCount, {
      onFailed: (error) => {
        this.#failure = isAlive(qemu) ? error : new GodwitError('GW_SYS_PROCESS_GONE', { pid: qemu.pid });
        this.stop();
      },
      // Not before: the thread would read from whatever has the number next.
      onEnded: () => uffd[Symbol.dispose](),
    });
    this.throttle = new WriteFaultThrottle(options.pagesPerSecond, (rate) => this.#thread.setPace(rate));
    // Before the listener that closes the descriptors of a thread that ends.
    process.prependOnceListener('exit', this.#onExit);
  }

  /** Starts the thread; tracks nothing yet. */
  static async open(options: GroupTrackerOptions): Promise<GroupDirtyTracker> {
    const uffd = Userfaultfd.openInside(options.qemu.pid, { features: FEATURES, keepInside: false });
    const tracker = new GroupDirtyTracker(options, uffd);
    try {
      await tracker.#thread.ready;
      return tracker;
    } catch (error) {
      tracker.stop();
      throw error;
    }
  }

  get facts(): TrackerFacts {
    return { kind: 'groups', groups: { setting: String(this.#options.pages), ...this.#thread.counts } };
  }

  start(): void {
    if (this.#sinceMs !== undefined) return;
    this.#sinceMs = performance.now();
    try {
      this.#eachRegion((start, bytes) => this.#uffd.register(start, bytes, { writeProtect: true }));
      this.#eachRegion((start, bytes) => this.#uffd.writeProtect(start, bytes, true));
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  setBudget(pages: number): void {
    this.#thread.setBudget(pages);
  }

  collect(): PageRun[] {
    const runs = this.#found(() => this.#thread.collect());
    const nowMs = performance.now();
    this.throttle.observe(runs, nowMs - (this.#sinceMs ?? nowMs));
    this.#sinceMs = nowMs;
    return runs;
  }

  peek(run: PageRun): PageRun[] {
    return this.#found(() => this.#thread.peek(run));
  }

  stop(): void {
    if (this.#hasStopped) return;
    this.#hasStopped = true;
    process.off('exit', this.#onExit);
    this.throttle.release();
    this.#thread.stop();
    // Frees the VM at once; when the thread has gone, the descriptor is closed as well.
    this.#eachRegion((start, bytes) => {
      try {
        this.#uffd.unregister(start, bytes);
      } catch {
        // QEMU has ended, or the region was not registered: then nobody waits.
      }
    });
    this.#giveBack();
  }

  [Symbol.dispose](): void {
    this.stop();
  }

  /** Of a QEMU that has ended nothing is found, and of one whose faults nobody answers too little. */
  #found(look: () => PageRun[]): PageRun[] {
    try {
      const runs = look();
      if (runs.length === 0) this.#uffd.refuseEnded();
      if (!this.#failure) return runs;
    } catch (error) {
      throw this.#failure ?? error;
    }
    throw this.#failure;
  }

  #eachRegion(act: (start: bigint, bytes: number) => void): void {
    for (const { index, bytes } of this.#options.layout.regions) act(this.#options.starts[index]!, bytes);
  }
}
