/**
 * The files behind regions: one for each region of this host, on tmpfs beside the RAM of VMs.
 *
 * Must hold: a file is made once, by nobody else and for nobody else (O_EXCL, mode 0600, the daemon's tag in its name),
 * and it is there in its full size before a QEMU opens it; what is removed is the very file that was made.
 * Must never: take, change or remove a file that this daemon did not make.
 */
import { createHash } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, readdirSync, realpathSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { GodwitError } from '../base/errors.ts';
import { type FileIdentity, identifyFile, isMapped, isSameFile } from '../linux/file-users.ts';
import { regionFileName } from '../qemu/shared-memory.ts';
import type { HostRegion } from './host-region.ts';

/**
 * Pages of a region are given away one by one: where the file has no page its VMs have to wait.
 * @param huge - what makes its tmpfs take huge pages (`hugePagesOf`), of which one page brings others, as zeros
 */
export function whyNotOn(huge: string): string {
  return `its file system takes huge pages (${huge}), of which single pages cannot be missing (mount -o remount,huge=never /dev/shm)`;
}

export class RegionFiles {
  readonly #directory: string;
  readonly #tag: string;

  /**
   * @param directory - on tmpfs
   * @param stateDirectory - of this daemon: two of one machine have two, and one that is started again has the same
   */
  constructor(directory: string, stateDirectory: string) {
    this.#directory = directory;
    const { dev, ino } = statSync(stateDirectory);
    const place = `${realpathSync(stateDirectory)}\0${dev}\0${ino}`;
    this.#tag = createHash('sha256').update(place).digest('hex').slice(0, 8);
  }

  pathOf(region: string): string {
    return join(this.#directory, regionFileName(this.#tag, region));
  }

  /** Those of these regions that are there. */
  find(regions: Iterable<string>): HostRegion[] {
    return [...regions].flatMap((region) => {
      const file = identifyFile(this.pathOf(region));
      return file ? [this.#regionOf(region, file)] : [];
    });
  }

  /** Reads as zero, and takes memory as it is written. @throws GW_REGION_UNUSABLE when a file of this name is there */
  create(region: string, bytes: number, vm: string): HostRegion {
    const path = this.pathOf(region);
    let fd: number;
    try {
      fd = openSync(path, 'wx+', 0o600);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      const reason = `the file ${path} is there already, and this daemon did not make it`;
      const fix = `remove it if nobody uses it (fuser -v ${path}), or give the shared memory another name`;
      throw new GodwitError('GW_REGION_UNUSABLE', { vm, region, reason, fix });
    }
    try {
      ftruncateSync(fd, bytes);
      return this.#regionOf(region, identifyFile(`/proc/self/fd/${fd}`)!);
    } catch (error) {
      rmSync(path, { force: true });
      throw error;
    } finally {
      closeSync(fd);
    }
  }

  /** The files of this daemon. */
  list(): string[] {
    const prefix = regionFileName(this.#tag, '');
    const names = readdirSync(this.#directory).filter((name) => name.startsWith(prefix));
    return names.map((name) => join(this.#directory, name));
  }

  /** Removes what nobody knows and nobody maps: of a daemon that was killed before it wrote down what it had made. */
  removeLeft(known: readonly FileIdentity[]): string[] {
    return this.list().filter((path) => {
      const file = identifyFile(path);
      if (!file || known.some((other) => isSameFile(other, file)) || isMapped(file)) return false;
      this.remove(path, file);
      return true;
    });
  }

  /** Removes the file if it still is the one that was made. Those that have it mapped keep it. */
  remove(path: string, made: FileIdentity): void {
    const there = identifyFile(path);
    if (there && isSameFile(there, made)) rmSync(path, { force: true });
  }

  /** No VM has it yet. */
  #regionOf(name: string, { bytes, device, inode }: FileIdentity & { readonly bytes: number }): HostRegion {
    return { name, bytes, path: this.pathOf(name), device, inode, isOurs: true, members: [] };
  }
}
