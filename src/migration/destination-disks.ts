/**
 * Images that are made on this host for a VM that comes with its disks.
 *
 * Owns: the images until the VM is this host's, and the streams that fill them. Must hold: what comes to nothing is removed,
 * but only the very files that were made here (of one that was not written down yet when the daemon was killed an empty file
 * stays), and never once this host may have run the VM: then it is the only copy.
 */
import { closeFd } from '../linux/socket.ts';
import { DiskRelay } from '../storage/disk-relay.ts';
import { type KnownImage, knowImages, removeImages } from '../storage/known-image.ts';
import { createImage } from '../storage/new-image.ts';
import type { DestinationGuest } from './destination-guest.ts';
import type { PlannedDisk } from './disk-fit.ts';
import type { DestinationRecovery } from './journal-facts.ts';

export interface DestinationDisksPort {
  /** Written down: these are ours to remove. */
  keepImages(images: readonly KnownImage[]): void;
  note(text: string): void;
}

export class DestinationDisks {
  readonly #port: DestinationDisksPort;
  readonly #relays: DiskRelay[] = [];
  #images: readonly KnownImage[] = [];
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
      this.#images = [...this.#images, ...knowImages([path])];
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
    removeImages(this.#images, this.#port.note);
    this.#images = [];
  }
}
