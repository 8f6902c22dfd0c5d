/**
 * A running tiny guest seen through the RAM of its QEMU, whoever started that QEMU.
 *
 * Owns: a descriptor of the RAM file. Must never: be used while pages are missing (post-copy), see control.ts.
 */
import {
  isTinyGuestReady,
  readTinyCounters,
  readTinyParameters,
  restartTinyGuest,
  type TinyGuestCounters,
  type TinyGuestParameters,
  writeTinyParameters,
} from '../../guest/tiny/control.ts';
import { checkInvariant, type InvariantOutcome, pageReader } from '../../guest/tiny/invariant.ts';
import { readTinySharing, type TinySharingView } from '../../guest/tiny/sharing-state.ts';
import { listOpenFiles } from '../../src/linux/process.ts';
import { RamFile } from '../../src/linux/ram-file.ts';
import { waitUntil } from './wait-until.ts';

export class TinyGuestView implements Disposable {
  readonly ram: RamFile;

  /**
   * @param pid - of QEMU
   * @param ramBytes - the size of the guest's memory
   */
  constructor(pid: number, ramBytes: number) {
    this.ram = openGuestRam(pid, ramBytes);
  }

  get counters(): TinyGuestCounters {
    return readTinyCounters(this.ram);
  }

  get parameters(): TinyGuestParameters {
    return readTinyParameters(this.ram);
  }

  /** Its work on shared memory, for a guest that has some (`guest.sharing`). */
  get sharing(): TinySharingView {
    return readTinySharing(this.ram);
  }

  /** Waits until the guest has filled and cleared its ranges. */
  async ready(timeoutMs?: number): Promise<void> {
    await waitUntil(
      'the tiny guest is ready',
      () => {
        // Throws for a guest that waits for ever, because it has no device.
        const { memberCount, working } = this.sharing;
        return isTinyGuestReady(this.ram) && (memberCount === 0 || working);
      },
      timeoutMs === undefined ? {} : { timeoutMs },
    );
  }

  /** Waits until the guest has done this many passes more. */
  async passes(count: number, timeoutMs?: number): Promise<void> {
    const goal = this.counters.passes + count;
    const what = `the tiny guest has done ${count} more passes`;
    await waitUntil(what, () => this.counters.passes >= goal, timeoutMs === undefined ? {} : { timeoutMs });
  }

  /** Waits until the guest has visited this many pages more: that it runs. */
  async pagesWritten(count: number, timeoutMs?: number): Promise<void> {
    const goal = this.counters.pagesWritten + count;
    const what = `the tiny guest has written ${count} more pages`;
    await waitUntil(what, () => this.counters.pagesWritten >= goal, timeoutMs === undefined ? {} : { timeoutMs });
  }

  /** Waits until the guest has incremented shared counters so many times more. */
  async increments(count: number, timeoutMs?: number): Promise<void> {
    const goal = this.sharing.increments + count;
    const what = `the tiny guest has incremented counters ${count} times more`;
    await waitUntil(what, () => this.sharing.increments >= goal, timeoutMs === undefined ? {} : { timeoutMs });
  }

  /** Waits until the guest has read so many entries more of the ring before it. */
  async entriesRead(count: number, timeoutMs?: number): Promise<void> {
    const from = this.sharing.consumed;
    const what = `the tiny guest has read ${count} entries more`;
    await waitUntil(
      what,
      () => (this.sharing.consumed - from) >>> 0 >= count,
      timeoutMs === undefined ? {} : { timeoutMs },
    );
  }

  change(changes: Partial<Omit<TinyGuestParameters, 'firstPage' | 'pageCount'>>): void {
    writeTinyParameters(this.ram, changes);
  }

  async restart(changes: Partial<TinyGuestParameters> = {}): Promise<void> {
    restartTinyGuest(this.ram, changes);
    await this.ready();
  }

  /** Only while the guest is stopped. The range is the one that the guest was given. */
  checkInvariant(): InvariantOutcome {
    return checkInvariant(pageReader(this.ram), this.parameters);
  }

  [Symbol.dispose](): void {
    this.ram[Symbol.dispose]();
  }
}

/** The RAM of a QEMU that keeps it in a file on tmpfs, unlinked or not. */
export function openGuestRam(pid: number, ramBytes: number): RamFile {
  // A region that it shares with others is opened later, so that it comes after the guest's own memory.
  const file = listOpenFiles(pid).find(({ path }) => path.startsWith('/dev/shm/') || path.startsWith('/memfd:'));
  if (file === undefined) throw new Error(`Process ${pid} has no RAM file open`);
  return RamFile.open(`/proc/${pid}/fd/${file.fd}`, ramBytes);
}
