/**
 * The disks of an offered VM, as this host finds them.
 *
 * Must hold: a disk that is not proved to be the source's is refused, by name and with the reason; nothing is opened for
 * writing here.
 */
import type { Blocker } from '../qemu/blocker.ts';
import { readImageFacts } from '../storage/image-facts.ts';
import { explainOtherImage } from '../storage/same-image.ts';
import { readToken } from '../storage/sharing-token.ts';
import type { OfferedDisk, OfferedImage, ReadyDisk } from '../wire/disk-messages.ts';

export interface DiskFit {
  readonly blockers: readonly Blocker[];
  /** What there is to answer; in the order of the offer. */
  readonly disks: readonly ReadyDisk[];
}

const FIX = 'put the image on storage that both hosts share, at the same path';

export function fitDisks(offered: readonly OfferedDisk[] = []): DiskFit {
  const blockers: Blocker[] = [];
  const disks = offered.map((disk): ReadyDisk => {
    const { name, path } = disk;
    const image = imageAt(path);
    const token = disk.token && image ? readToken(path, disk.token.name) : undefined;
    const difference = explainOtherImage(disk, { image, token }) ?? explainBacking(disk);
    if (difference !== undefined) {
      blockers.push({ id: 'disk-not-shared', what: `disk ${name} (${path})`, reason: difference, fix: FIX });
    }
    return { name, token: token ?? null };
  });
  return { blockers, disks };
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
