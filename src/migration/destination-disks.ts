/**
 * Images that are made on this host for a VM that comes with its disks.
 *
 * Owns: the images until the VM is this host's, and the streams that fill them. Must hold: an image is written down before
 * it is made; what comes to nothing is removed, but never once this host may have run the VM: then it is the only copy. An
 * image that the VM left here before is there again unless the VM has come.
 */
import { existsSync, renameSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { asGodwitError, GodwitError } from '../base/errors.ts';
import { closeFd } from '../linux/socket.ts';
import { DiskRelay } from '../storage/disk-relay.ts';
import { createImage } from '../storage/new-image.ts';
import type { DestinationGuest } from './destination-guest.ts';
import type { PlannedDisk } from './disk-fit.ts';
import type { DestinationRecovery } from './journal-facts.ts';

export interface DestinationDisksPort {
  /** Written down: these are ours to remove. */
  keepImages(paths: readonly string[]): void;
  note(text: string): void;
}

export class DestinationDisks {
  readonly #port: DestinationDisksPort;
  readonly #relays: DiskRelay[] = [];
  #images: readonly string[] = [];
  #isOurs = false;

  constructor(port: DestinationDisksPort) {
    this.#port = port;
  }

  /** On all their connections. */
  get wireBytes(): number {
    return this.#relays.reduce((sum, relay) => sum + relay.bytesSent + relay.bytesReceived, 0);
  }

  /** @throws GW_DISK_COPY */
  create(planned: readonly PlannedDisk[]): void {
    const files = planned.filter(({ kind, image }) => kind === 'copied' && image === 'file');
    if (files.length === 0) return;
    // First: what is written down is removed when nothing comes of it.
    putAside(files.filter(({ replaces }) => replaces));
    this.#images = files.map(({ path }) => path);
    this.#port.keepImages(this.#images);
    for (const { name, path, format, virtualBytes } of files) createImage(name, path, format, virtualBytes);
  }

  /** After a restart. */
  findAgain({ images, records }: Pick<DestinationRecovery, 'images' | 'records'>): void {
    this.#images = images;
    this.#isOurs = records.some(({ kind }) => kind === 'owner');
  }

  /** A connection that brings a disk; the descriptor is ours. */
  fill(fd: number, guest: DestinationGuest): void {
    const { exportsPath } = guest;
    if (exportsPath === undefined) closeFd(fd);
    else this.#relays.push(DiskRelay.connect(fd, exportsPath));
  }

  /** The VM is about to be this host's, with its images. */
  keep(): void {
    this.#isOurs = true;
  }

  /** Nothing comes any more. */
  stop(): void {
    for (const relay of this.#relays) relay.stop();
    if (!this.#isOurs) return;
    for (const path of this.#images) {
      // A large file takes its time to be gone.
      rm(asideOf(path), { force: true }).catch((error: unknown) =>
        this.#port.note(`${asideOf(path)} stays: ${asGodwitError(error).message}`),
      );
    }
  }

  /** Nothing of the VM stays here; its QEMU has ended. */
  discard(): void {
    this.stop();
    if (this.#isOurs) return;
    for (const path of this.#images) {
      try {
        rmSync(path, { force: true });
        if (existsSync(asideOf(path))) renameSync(asideOf(path), path);
      } catch (error) {
        this.#port.note(`${path} stays: ${asGodwitError(error).message}`);
      }
    }
    this.#images = [];
  }
}

/** All of them or none. @throws GW_DISK_COPY */
function putAside(disks: readonly PlannedDisk[]): void {
  const done: string[] = [];
  for (const { name, path } of disks) {
    try {
      renameSync(path, asideOf(path));
      done.push(path);
    } catch (cause) {
      for (const moved of done) renameSync(asideOf(moved), moved);
      const reason = `${path}, which the VM left here, cannot be renamed (${(cause as NodeJS.ErrnoException).code})`;
      throw new GodwitError('GW_DISK_COPY', { disk: name, reason }, { cause });
    }
  }
}

/** Where the image that the VM left is until the VM has come. */
function asideOf(path: string): string {
  return `${path}.godwit-left`;
}
