/**
 * The disks of one VM that are on their way, taken together.
 */
import type { CopiedDisk } from './copied-disk.ts';
import type { DiskProgress } from './progress.ts';

export class DiskCopies implements Iterable<CopiedDisk> {
  readonly #list: CopiedDisk[] = [];

  add(copy: CopiedDisk): void {
    this.#list.push(copy);
  }

  [Symbol.iterator](): Iterator<CopiedDisk> {
    return this.#list.values();
  }

  /** Sent and received. */
  get bytes(): number {
    return this.#sum(({ bytes }) => bytes);
  }

  get bytesSent(): number {
    return this.#sum(({ relay }) => relay.bytesSent);
  }

  get unacknowledgedBytes(): number {
    return this.#sum(({ relay }) => relay.unacknowledgedBytes);
  }

  get leftBytes(): number {
    return this.#sum(({ leftBytes }) => leftBytes);
  }

  get bytesPerSecond(): number {
    return this.#sum(({ bytesPerSecond }) => bytesPerSecond);
  }

  get progress(): DiskProgress[] {
    return this.#list.map(({ progress }) => progress);
  }

  /** Never resolves; rejects when one has broken. @throws GW_DISK_COPY */
  get failed(): Promise<never> {
    return Promise.race(this.#list.map(({ mirror }) => mirror.failed));
  }

  /** Resolves when each was copied once. @throws GW_DISK_COPY */
  async ready(): Promise<void> {
    await Promise.all(this.#list.map(({ mirror }) => mirror.ready));
  }

  /** Asks how far they are. */
  async look(): Promise<void> {
    await Promise.all(this.#list.map((copy) => copy.look()));
  }

  /** What the VM writes goes there first, where QEMU can change that. */
  async makeBlocking(): Promise<void> {
    for (const copy of this.#list) await copy.makeBlocking();
  }

  /** The VM stands still. @throws GW_DISK_COPY */
  async finish(): Promise<void> {
    await Promise.all(this.#list.map((copy) => copy.finish()));
  }

  stop(): void {
    for (const copy of this.#list) copy.stop();
  }

  #sum(of: (copy: CopiedDisk) => number): number {
    return this.#list.reduce((sum, copy) => sum + of(copy), 0);
  }
}
