/**
 * The disks of an offered VM, as this host finds them: which are the source's own, and where it would make images of others.
 *
 * Must hold: a disk that is not proved to be the source's is copied if that was asked for, and otherwise refused, by name and
 * with the reason; an image is made only where nothing is, a device is filled only where it was named; nothing is opened here.
 */
import { accessSync, constants, existsSync, statfsSync, statSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, normalize } from 'node:path';
import { formatSize } from '../base/units.ts';
import type { Blocker } from '../qemu/blocker.ts';
import { readImageFacts } from '../storage/image-facts.ts';
import { NEW_IMAGE_FORMATS } from '../storage/new-image.ts';
import { explainOtherImage } from '../storage/same-image.ts';
import { readToken } from '../storage/sharing-token.ts';
import { mayBeCopied, type OfferedDisk, type OfferedImage, type ReadyDisk } from '../wire/disk-messages.ts';
import type { Message } from '../wire/messages.ts';

/** A disk as it will be here. */
export interface PlannedDisk extends ReadyDisk {
  /** Its path at the source. */
  readonly source: string;
  readonly image: OfferedImage['kind'];
  readonly format: string;
  readonly virtualBytes: number;
}

export interface DiskFit {
  readonly blockers: readonly Blocker[];
  /** In the order of the offer. */
  readonly disks: readonly PlannedDisk[];
}

/** Where this host makes images; null: at the path that they have at the source. */
export type ImagesDirectory = string | null;

const SHARE_FIX = 'put the image on storage that both hosts share, at the same path';
const COPY_FIX = `${SHARE_FIX}, or have it copied with --disks pre-copy`;

export function fitDisks(offered: readonly OfferedDisk[] = [], images: ImagesDirectory = null): DiskFit {
  const blockers: Blocker[] = [];
  /** What those before will take, by file system. */
  const taken = new Map<number, number>();
  const disks = offered.map((disk): PlannedDisk => {
    const { name, path: source, format, virtualBytes } = disk;
    const there = imageAt(source);
    const token = (disk.token && there && readToken(source, disk.token.name)) || null;
    const difference = explainOtherImage(disk, { image: there, token: token ?? undefined }) ?? explainBacking(disk);
    const isShared = difference === undefined && disk.copy !== 'always' && (disk.to === null || disk.to === source);
    const path = isShared || !mayBeCopied(disk) ? source : placeOf(disk, images);
    const block = (id: string, reason: string, fix: string): number =>
      blockers.push({ id, what: `disk ${name} (${path})`, reason, fix });
    if (!isShared && !mayBeCopied(disk)) {
      block(
        'disk-not-shared',
        difference ?? 'it is to be at another path',
        disk.copy === 'impossible' ? SHARE_FIX : COPY_FIX,
      );
    } else if (!isShared) {
      const obstacle = findObstacle(disk, path, images, taken);
      if (obstacle) block(obstacle.id, obstacle.reason, obstacle.fix);
    }
    const kind = isShared ? 'shared' : 'copied';
    return { name, kind, path, token, source, image: disk.image.kind, format, virtualBytes };
  });
  return { blockers, disks };
}

/** The images that a command line names, and where they are here. */
export function movedImages(disks: readonly PlannedDisk[]): ReadonlyMap<string, string> {
  return new Map(disks.filter(({ source, path }) => path !== source).map(({ source, path }) => [source, path]));
}

/** Whether images are to be filled here before pages come. */
export function willCopy({
  offer,
  images,
}: {
  readonly offer: Message<'offer'>;
  readonly images: ImagesDirectory;
}): boolean {
  return fitDisks(offer.disks, images).disks.some(({ kind }) => kind === 'copied');
}

/** What is said of it to the source. */
export function answersOf(disks: readonly PlannedDisk[]): ReadyDisk[] {
  return disks.map(({ name, kind, path, token }) => ({ name, kind, path, token: kind === 'shared' ? token : null }));
}

function placeOf({ path, to }: OfferedDisk, images: ImagesDirectory): string {
  return to ?? (images === null ? path : join(images, basename(path)));
}

function findObstacle(
  disk: OfferedDisk,
  path: string,
  images: ImagesDirectory,
  taken: Map<number, number>,
): Omit<Blocker, 'what'> | undefined {
  const { image, format, virtualBytes, to } = disk;
  const elsewhere = 'name another place with --disk NAME=PATH';
  if (!NEW_IMAGE_FORMATS.includes(format)) {
    return { id: 'disk-format', reason: `disks in the format ${format} cannot be copied`, fix: SHARE_FIX };
  }
  if (!isAbsolute(path) || normalize(path) !== path) {
    return { id: 'disk-path', reason: 'it is no absolute path without `.` and `..`', fix: elsewhere };
  }
  const there = imageAt(path);
  if (image.kind === 'device') {
    const fix = `create a device of ${virtualBytes} bytes here and name it with --disk NAME=PATH`;
    if (to === null) return { id: 'disk-device', reason: 'a block device is copied to one that was named only', fix };
    if (there?.kind !== 'device') return { id: 'disk-device', reason: 'it is no block device', fix };
    if (there.bytes !== virtualBytes) return { id: 'disk-device', reason: `it has ${there.bytes} bytes`, fix };
    return undefined;
  }
  if (images !== null && !path.startsWith(join(images, '/'))) {
    return { id: 'disk-place', reason: `images are made in ${images} on this host`, fix: elsewhere };
  }
  if (there !== null || existsSync(path)) {
    const fix = `remove it if nobody needs it, or ${elsewhere}`;
    return { id: 'image-exists', reason: 'there is a file already, which is not written over', fix };
  }
  return findDirectoryObstacle(copiedBytes(disk), dirname(path), elsewhere, taken);
}

/** At most: with its backing images, which it has no more when it is copied. */
function copiedBytes({ image, backing, virtualBytes }: OfferedDisk): number {
  if (backing.length === 0) return image.usedBytes;
  return Math.min(
    virtualBytes,
    backing.reduce((sum, { bytes }) => sum + bytes, image.usedBytes),
  );
}

function findDirectoryObstacle(
  neededBytes: number,
  directory: string,
  elsewhere: string,
  taken: Map<number, number>,
): Omit<Blocker, 'what'> | undefined {
  try {
    accessSync(directory, constants.W_OK | constants.X_OK);
    const { bavail, bsize } = statfsSync(directory);
    const { dev } = statSync(directory);
    const wantedBytes = (taken.get(dev) ?? 0) + neededBytes;
    taken.set(dev, wantedBytes);
    if (bavail * bsize >= wantedBytes) return undefined;
    const reason = `${formatSize(wantedBytes)} needed, ${formatSize(bavail * bsize)} available in ${directory}`;
    return { id: 'no-room', reason, fix: `free room there, or ${elsewhere}` };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const reason = `no image can be made in ${directory} (${code})`;
    return { id: 'disk-place', reason, fix: `create the directory, or ${elsewhere}` };
  }
}

/** Nobody writes them while the VM runs, so that equal ones will do. */
function explainBacking({ backing }: OfferedDisk): string | undefined {
  const other = backing.find(({ path, bytes }) => imageAt(path)?.bytes !== bytes);
  return other && `its backing image ${other.path} is not on this host, or has another size`;
}

function imageAt(path: string): OfferedImage | null {
  try {
    return readImageFacts(path);
  } catch {
    return null;
  }
}
