/**
 * Images that are made on this host for a VM that comes with its disks.
 *
 * Owns: the images until the VM is this host's, and the streams that fill them. Must hold: what comes to nothing is removed,
 * but only the very files that were made here (of one that was not written down yet when the daemon was killed an empty file
 * stays), and never once this host may have run the VM: then it is the only copy.
 */
import { rmSync, statSync } from 'node:fs';
import { asGodwitError } from '../base/errors.ts';
import { closeFd } from '../linux/socket.ts';
import { DiskRelay } from '../storage/disk-relay.ts';
import { createImage } from '../storage/new-image.ts';
import type { DestinationGuest } from './destination-guest.ts';
import type { PlannedDisk } from './disk-fit.ts';
import type { DestinationRecovery } from './journal-facts.ts';

/** A file that was made for the VM, and no other one that may be at its path later. */
export interface MadeImage {
  readonly path: string;
  /** The number of the file and when it was made: a number is given again. */
  readonly identity: string;
}

export interface DestinationDisksPort {
  /** Written down: these are ours to remove. */
  keepImages(images: readonly MadeImage[]): void;
  note(text: string): void;
}

export class DestinationDisks {
  readonly #port: DestinationDisksPort;
  readonly #relays: DiskRelay[] = [];
  #images: readonly MadeImage[] = [];
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
    for (const { name, path, format, virtualBytes } of files) {
      createImage(name, path, format, virtualBytes);
      this.#images = [...this.#images, { path, identity: identityOf(path)! }];
    }
    this.#port.keepImages(this.#images);
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
  }

  /** Nothing of the VM stays here; its QEMU has ended. */
  discard(): void {
    this.stop();
    if (this.#isOurs) return;
    for (const { path, identity } of this.#images) {
      try {
        if (identityOf(path) === identity) rmSync(path);
      } catch (error) {
        this.#port.note(`${path} stays: ${asGodwitError(error).message}`);
      }
    }
    this.#images = [];
  }
}

function identityOf(path: string): string | undefined {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false });
  return found && `${found.ino} ${found.birthtimeNs}`;
}
