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
import { type ClientView, type ListenAddress, NbdServer, type RequestView, type ServerEvent } from './nbd-server.ts';
import { type CollectedBlocks, ServedDisk } from './served-disk.ts';

export interface DiskOptions {
  readonly path: string;
  readonly isReadOnly: boolean;
  /** It is raw whatever its first bytes look like. */
  readonly isRaw: boolean;
  /** Of the clients that may change it at first. */
  readonly generation: number;
}

/** The same in this thread and from another one. Names of disks are the caller's. */
export interface DiskServing {
  listen(address: ListenAddress): Promise<ListenAddress>;
  /** Returns the image's size. @throws GW_DISK_UNUSABLE */
  openDisk(disk: string, options: DiskOptions): Promise<number>;
  /** Its exports go first; resolves when nothing of it is with the storage. */
  closeDisk(disk: string): Promise<void>;
  addExport(name: string, disk: string, generation: number): Promise<void>;
  removeExport(name: string): Promise<void>;
  /** See RequestTable; resolves, with the number of answers, when TRIM and WRITE_ZEROES are complete, too. */
  cancel(disk: string, generation: number): Promise<number>;
  reopen(disk: string, generation: number): Promise<void>;
  fence(disk: string, generation: number): Promise<void>;
  /** Requests of these kinds wait until the next call; of none: nothing is held. */
  hold(disk: string, commands: readonly CommandName[]): Promise<void>;
  trackWrites(disk: string, blockBytes?: number): Promise<void>;
  stopTracking(disk: string): Promise<void>;
  collectDirty(disk: string): Promise<CollectedBlocks | undefined>;
  requests(disk: string): Promise<RequestView[]>;
  clients(): Promise<ClientView[]>;
  /** Every client gets the answers that are due. */
  close(): Promise<void>;
}

interface OpenDisk {
  readonly served: ServedDisk;
  readonly exports: Set<string>;
}

export class LocalDiskServing implements DiskServing {
  readonly #server: NbdServer;
  readonly #disks = new Map<string, OpenDisk>();

  constructor(tls: SecureContextOptions | undefined, onEvent: (event: ServerEvent) => void) {
    this.#server = new NbdServer({ tls, onEvent });
  }

  listen(address: ListenAddress): Promise<ListenAddress> {
    return this.#server.listen(address);
  }

  async openDisk(disk: string, { path, isReadOnly, isRaw, generation }: DiskOptions): Promise<number> {
    if (this.#disks.has(disk)) throw conflict(disk, 'it is open already');
    const image = openDiskFile(path, { isReadOnly, isRaw });
    const served = new ServedDisk({ image, isReadOnly, generation, pool: this.#server.pool });
    this.#disks.set(disk, { served, exports: new Set() });
    return image.bytes;
  }

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

  async cancel(disk: string, generation: number): Promise<number> {
    const { answered, settled } = this.#find(disk).served.table.cancel(generation);
    await settled;
    return answered;
  }

  async reopen(disk: string, generation: number): Promise<void> {
    this.#find(disk).served.table.reopen(generation);
  }

  async fence(disk: string, generation: number): Promise<void> {
    await this.#find(disk).served.table.fence(generation);
  }

  async hold(disk: string, commands: readonly CommandName[]): Promise<void> {
    const held = new Set(commands);
    this.#find(disk).served.table.hold(held.size === 0 ? undefined : ({ command }) => held.has(commandName(command)));
  }

  async trackWrites(disk: string, blockBytes?: number): Promise<void> {
    this.#find(disk).served.trackWrites(blockBytes);
  }

  async stopTracking(disk: string): Promise<void> {
    this.#find(disk).served.stopTracking();
  }

  async collectDirty(disk: string): Promise<CollectedBlocks | undefined> {
    return this.#find(disk).served.collectDirty();
  }

  async requests(disk: string): Promise<RequestView[]> {
    return this.#server.requests(this.#find(disk).served);
  }

  async clients(): Promise<ClientView[]> {
    return this.#server.clients();
  }

  async close(): Promise<void> {
    await this.#server.close();
    await Promise.all([...this.#disks.keys()].map((disk) => this.closeDisk(disk)));
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
