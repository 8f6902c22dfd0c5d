/**
 * The VM's disks as the source offers them, and what the destination's answer proves.
 *
 * Owns: the tokens beside the images, while the destination prepares. Must hold: a VM moves only when each of its disks is
 * proved to be the same at the destination, or is copied and may be.
 */
import { resolve } from 'node:path';
import { asGodwitError, GodwitError } from '../base/errors.ts';
import { readWorkingDirectory } from '../linux/process.ts';
import type { Blocker } from '../qemu/blocker.ts';
import type { DiskFacts } from '../qemu/disk-facts.ts';
import { hasOpen, readImageFacts } from '../storage/image-facts.ts';
import { hashOfToken, removeToken, type TokenMark, writeToken } from '../storage/sharing-token.ts';
import { mayBeCopied, type OfferedDisk, type OfferedImage, type ReadyDisk } from '../wire/disk-messages.ts';
import type { MigrationOptions } from './request.ts';
import type { SourceDiskServer } from './source-disk-server.ts';

/** An image below is named on the command line, which a copy that stands alone would get, too. */
const NAMES_BACKING = /\bbacking\b/;

/** Both hosts tell each other of disks. */
export const DISKS_FEATURE = 'disks';

export type DiskWish = Pick<MigrationOptions, 'disks' | 'diskPaths'> & {
  /** QEMU's arguments. */
  readonly args: readonly string[];
  /** It shares memory with other VMs, which do not wait for a disk. */
  readonly isOfGroup: boolean;
};

export interface VmOfDisks {
  readonly facts: { readonly disks: readonly DiskFacts[] };
  /** Of its QEMU. */
  readonly identity: { readonly pid: number };
  readonly diskServer: Pick<SourceDiskServer, 'findImage'> | null;
}

interface ImageInUse {
  readonly disk: DiskFacts;
  readonly path: string;
  /** The process that has it open. */
  readonly holder: number;
  readonly isServed: boolean;
}

export interface DiskOffer {
  readonly disks: readonly OfferedDisk[];
  /** Disks that cannot be offered. */
  readonly blockers: readonly Blocker[];
}

/**
 * Those that are files or devices of this host; what QEMU reaches over a network by itself is the same from everywhere.
 * Writes tokens: `withdrawTokens` removes them.
 */
export function offerDisks(vm: VmOfDisks, wish: DiskWish): DiskOffer {
  const offered: OfferedDisk[] = [];
  const blockers: Blocker[] = [];
  const images = findImages(vm);
  for (const { disk, path, holder, isServed } of images) {
    const name = disk.id;
    try {
      if (hasOpen(holder, path)) {
        const { format, readonly, virtualBytes } = disk;
        const image = readImageFacts(path);
        const token = readonly || image.kind === 'device' ? null : tryWriteToken(path);
        const to = wish.diskPaths[name] ?? null;
        const copy = isServed ? 'impossible' : copyOf(disk, image, wish);
        offered.push({ name, path, format, readonly, virtualBytes, copy, to, image, token, backing: backingOf(disk) });
        continue;
      }
      const fix = 'put the image that the VM uses back to its path, or restart the VM';
      blockers.push({ id: 'replaced-image', what: `${name} (${path})`, reason: 'the VM uses another file', fix });
    } catch (error) {
      const reason = asGodwitError(error).message;
      const fix = 'give the image a path that this daemon can see as QEMU does';
      blockers.push({ id: 'unseen-image', what: `${name} (${path})`, reason, fix });
    }
  }
  for (const name of Object.keys(wish.diskPaths)) {
    if (images.some(({ disk }) => disk.id === name)) continue;
    const known = offered.map((disk) => disk.name).join(', ') || 'none';
    const fix = `name one of its disks: ${known}`;
    blockers.push({ id: 'unknown-disk', what: `disk ${name}`, reason: 'the VM has no disk of this name', fix });
  }
  return { disks: offered, blockers };
}

/** Idempotent. */
export function withdrawTokens(offered: readonly OfferedDisk[] = []): void {
  for (const { path, token } of offered) if (token) removeToken(path, token.name);
}

/** @throws GW_MIGRATION_REFUSED where the other host cannot prove anything */
export function requireDiskFeature(
  vm: string,
  offered: readonly OfferedDisk[],
  { host, features }: { readonly host: string; readonly features: readonly string[] },
): void {
  if (offered.length === 0 || features.includes(DISKS_FEATURE)) return;
  const reason = 'its godwit is older and cannot prove that it has the same disks; update it';
  throw new GodwitError('GW_MIGRATION_REFUSED', { host, vm, reason });
}

/** The destination has looked by itself; this looks at what it has seen. Returns why it is not enough, if so. */
export function findUnproved(
  vm: string,
  host: string,
  offered: readonly OfferedDisk[] = [],
  answered: readonly ReadyDisk[] = [],
): GodwitError | undefined {
  const unproved = offered.find(({ name, token, copy }, index) => {
    const answer = answered[index];
    if (answer?.name !== name) return true;
    if (answer.kind === 'copied') return !mayBeCopied({ copy });
    return token !== null && (answer.token === null || hashOfToken(answer.token) !== token.hash);
  });
  if (!unproved) return undefined;
  const reason = `it has not read what was written beside the disk ${unproved.name} (${unproved.path})`;
  return new GodwitError('GW_MIGRATION_REFUSED', { host, vm, reason });
}

function findImages({ facts, identity, diskServer }: VmOfDisks): ImageInUse[] {
  const directory = readWorkingDirectory(identity.pid);
  return facts.disks.flatMap((disk): ImageInUse[] => {
    const served = diskServer?.findImage(disk);
    if (served) return [{ disk, path: served.path, holder: served.pid, isServed: true }];
    if (disk.image === null) return [];
    return [{ disk, path: resolve(directory, disk.image), holder: identity.pid, isServed: false }];
  });
}

function copyOf(disk: DiskFacts, image: OfferedImage, wish: DiskWish): OfferedDisk['copy'] {
  const { args, disks, isOfGroup } = wish;
  if (disk.readonly || disk.encrypted || isOfGroup) return 'impossible';
  if (disk.backing.length > 0 && args.some((word) => NAMES_BACKING.test(word))) return 'impossible';
  // Of a raw image that is a part of its file only the part would be copied.
  if (disk.format === 'raw' && image.bytes !== disk.virtualBytes) return 'impossible';
  if (disks === 'shared') return 'never';
  return disks === 'pre-copy' ? 'always' : 'ifNeeded';
}

/** A directory that takes no file proves nothing; the destination says so. */
function tryWriteToken(path: string): TokenMark | null {
  try {
    return writeToken(path);
  } catch {
    return null;
  }
}

function backingOf({ backing }: DiskFacts): { path: string; bytes: number }[] {
  return backing.filter((path) => path.startsWith('/')).map((path) => ({ path, bytes: readImageFacts(path).bytes }));
}
