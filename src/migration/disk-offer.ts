/**
 * The VM's disks as the source offers them, and what the destination's answer proves.
 *
 * Owns: the tokens beside the images, while the destination prepares. Must hold: a VM moves only when each of its disks is
 * proved to be the same at the destination; where nothing can be proved nothing is offered.
 */
import { asGodwitError, GodwitError } from '../base/errors.ts';
import type { Blocker } from '../qemu/blocker.ts';
import type { DiskFacts } from '../qemu/disk-facts.ts';
import { hasOpen, readImageFacts } from '../storage/image-facts.ts';
import { hashOfToken, removeToken, type TokenMark, writeToken } from '../storage/sharing-token.ts';
import type { OfferedDisk, ReadyDisk } from '../wire/disk-messages.ts';

/** Both hosts tell each other of disks. */
export const DISKS_FEATURE = 'disks';

export interface DiskOffer {
  readonly disks: readonly OfferedDisk[];
  /** Disks that cannot be offered. */
  readonly blockers: readonly Blocker[];
}

/**
 * Those that are files or devices of this host; what QEMU reaches over a network by itself is the same from everywhere.
 * Writes tokens: `withdrawTokens` removes them.
 * @param pid - of the VM's QEMU
 */
export function offerDisks(disks: readonly DiskFacts[], pid: number): DiskOffer {
  const offered: OfferedDisk[] = [];
  const blockers: Blocker[] = [];
  for (const disk of disks) {
    const { id: name, image: path } = disk;
    if (path === null) continue;
    try {
      if (hasOpen(pid, path)) {
        const { format, readonly, virtualBytes } = disk;
        const image = readImageFacts(path);
        const token = readonly || image.kind === 'device' ? null : tryWriteToken(path);
        offered.push({ name, path, format, readonly, virtualBytes, image, token, backing: backingOf(disk) });
        continue;
      }
      const fix = 'put the image that the VM uses back to its path, or restart the VM';
      blockers.push({ id: 'replaced-image', what: `${name} (${path})`, reason: 'QEMU uses another file', fix });
    } catch (error) {
      const reason = asGodwitError(error).message;
      const fix = 'give the image a path that this daemon can see as QEMU does';
      blockers.push({ id: 'unseen-image', what: `${name} (${path})`, reason, fix });
    }
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
  const unproved = offered.find(({ name, token }, index) => {
    const answer = answered[index];
    if (answer?.name !== name) return true;
    return token !== null && (answer.token === null || hashOfToken(answer.token) !== token.hash);
  });
  if (!unproved) return undefined;
  const reason = `it has not read what was written beside the disk ${unproved.name} (${unproved.path})`;
  return new GodwitError('GW_MIGRATION_REFUSED', { host, vm, reason });
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
