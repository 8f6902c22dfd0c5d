/**
 * The disks that one server serves, and what a migration does with them.
 *
 * Owns: the server, the images by the names that their owner gave them. Must hold: an image is closed when nothing of it
 * is with the storage any more; what is asked of a disk that there is not is an error.
 */
import type { SecureContextOptions } from 'node:tls';
import { GodwitError } from '../../base/errors.ts';
import { type CommandName, commandName } from './client-counters.ts';
import { openDiskFile } from './disk-file.ts';
import type { LockOutcome } from './image-lock.ts';
import { type ClientView, type ListenAddress, NbdServer, type RequestView, type ServerEvent } from './nbd-server.ts';
import { NbdError } from './numbers.ts';
import type { Cancelled } from './request-table.ts';
import { type CollectedBlocks, ServedDisk } from './served-disk.ts';

export interface DiskOptions {
  readonly path: string;
  readonly isReadOnly: boolean;
  /** It is raw whatever its first bytes look like. */
  readonly isRaw: boolean;
  /** Of the clients that may change it at first. */
  readonly generation: number;
  /** See RequestTable; false in tests only. */
  readonly isFenced?: boolean;
}

interface OpenDisk {
  readonly served: ServedDisk;
  readonly exports: Set<string>;
}

export class DiskServing implements AsyncDisposable {
  readonly #server: NbdServer;
  readonly #disks = new Map<string, OpenDisk>();

  constructor(tls: SecureContextOptions | undefined, onEvent: (event: ServerEvent) => void) {
    this.#server = new NbdServer({ tls, onEvent });
  }

  listen(address: ListenAddress): Promise<ListenAddress> {
    return this.#server.listen(address);
  }

  /** Returns the image's size. @throws GW_DISK_UNUSABLE */
  async openDisk(disk: string, { path, isReadOnly, isRaw, generation, isFenced = true }: DiskOptions): Promise<number> {
    if (this.#disks.has(disk)) throw conflict(disk, 'it is open already');
    const image = openDiskFile(path, { isReadOnly, isRaw });
    const served = new ServedDisk({ image, isReadOnly, generation, isFenced, pool: this.#server.pool });
    this.#disks.set(disk, { served, exports: new Set() });
    return image.bytes;
  }

  /** See ImageLock. */
  lock(disk: string): LockOutcome {
    return this.#find(disk).served.image.lock.take();
  }

  /** Another host's server may change it. */
  unlock(disk: string): void {
    this.#find(disk).served.image.lock.giveUp();
  }

  /** Its exports go first; resolves when nothing of it is with the storage. */
  async closeDisk(disk: string): Promise<void> {
    const { served, exports } = this.#find(disk);
    for (const name of exports) this.#server.removeExport(name);
    await served.table.idle();
    this.#disks.delete(disk);
    served.image[Symbol.dispose]();
  }

  async addExport(name: string, disk: string, generation: number): Promise<void> {
    if ([...this.#disks.values()].some(({ exports }) => exports.has(name)))
      throw conflict(name, 'it is exported already');
    const { served, exports } = this.#find(disk);
    exports.add(name);
    this.#server.addExport(name, { disk: served, generation });
  }

  async removeExport(name: string): Promise<void> {
    for (const { exports } of this.#disks.values()) exports.delete(name);
    this.#server.removeExport(name);
  }

  /** See RequestTable. Resolves at once: `seal` waits for what is completed instead. */
  async cancel(disk: string, generation: number): Promise<Pick<Cancelled, 'answered' | 'kept'>> {
    const { answered, kept } = this.#find(disk).served.table.cancel(generation);
    return { answered, kept };
  }

  /** See RequestTable; then all that was written is on the storage, where another host reads it. @throws GW_DISK_UNUSABLE */
  async seal(disk: string, generation: number): Promise<void> {
    const { served } = this.#find(disk);
    await served.table.seal(generation);
    await this.sync(disk);
  }

  async reopen(disk: string, generation: number): Promise<void> {
    this.#find(disk).served.table.reopen(generation);
  }

  /** What another host has changed is read from the storage; resolves when only clients of this generation change it. */
  async fence(disk: string, generation: number): Promise<void> {
    const { served } = this.#find(disk);
    if (served.table.generation < generation) served.image.forgetCached();
    await served.table.fence(generation);
  }

  /** All that was written is on the storage. @throws GW_DISK_UNUSABLE */
  sync(disk: string): Promise<void> {
    const { image, isReadOnly } = this.#find(disk).served;
    if (isReadOnly) return Promise.resolve();
    return new Promise((resolve, reject) => {
      image.flush((error) => {
        const reason = `what was written cannot be brought to its storage (NBD error ${error})`;
        if (error === NbdError.none) resolve();
        else reject(new GodwitError('GW_DISK_UNUSABLE', { path: disk, reason }));
      });
    });
  }

  /** Requests of these kinds wait until the next call, as if the storage were busy; of none: nothing is held. */
  async hold(disk: string, commands: readonly CommandName[]): Promise<void> {
    const held = new Set(commands);
    this.#find(disk).served.table.hold(held.size === 0 ? undefined : ({ command }) => held.has(commandName(command)));
  }

  /** The same, but they are with the storage already: as if it hung. */
  async stall(disk: string, commands: readonly CommandName[]): Promise<void> {
    const stalled = new Set(commands);
    this.#find(disk).served.stall(({ command }) => stalled.has(commandName(command)));
  }

  async trackWrites(disk: string, blockBytes?: number): Promise<void> {
    this.#find(disk).served.trackWrites(blockBytes);
  }

  async stopTracking(disk: string): Promise<void> {
    this.#find(disk).served.stopTracking();
  }

  async collectDirty(disk: string, maxRanges?: number): Promise<CollectedBlocks | undefined> {
    return this.#find(disk).served.collectDirty(maxRanges);
  }

  async requests(disk: string): Promise<RequestView[]> {
    return this.#server.requests(this.#find(disk).served);
  }

  async clients(): Promise<ClientView[]> {
    return this.#server.clients();
  }

  /** Every client gets the answers that are due. */
  async close(): Promise<void> {
    await this.#server.close();
    await Promise.all([...this.#disks.keys()].map((disk) => this.closeDisk(disk)));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #find(disk: string): OpenDisk {
    const found = this.#disks.get(disk);
    if (!found) throw new GodwitError('GW_NOT_FOUND', { kind: 'served disk', name: disk });
    return found;
  }
}

function conflict(name: string, reason: string): GodwitError {
  return new GodwitError('GW_CONFLICT', { kind: 'Disk', name, reason });
}
