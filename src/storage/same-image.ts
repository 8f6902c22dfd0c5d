/**
 * Is the image that the destination has at a path the one that the VM uses at the source?
 *
 * Owns: the rule. Must hold: pure; what is not proved is not the same. A file is the same when the destination reads, beside
 * it, what the source has written there a moment ago, and both have the same number in that file system; a device when both
 * have the same worldwide names. Of images that nobody writes only the size is compared.
 */
import type { OfferedDisk, OfferedImage } from '../wire/disk-messages.ts';
import { hashOfToken } from './sharing-token.ts';

/** What the destination finds. */
export interface FoundImage {
  /** null: nothing. */
  readonly image: OfferedImage | null;
  /** Beside it; undefined: none. */
  readonly token: string | undefined;
}

/** Why it cannot be taken for the same; undefined when it is. */
export function explainOtherImage(offered: OfferedDisk, { image, token }: FoundImage): string | undefined {
  if (image === null) return 'there is no such file on this host';
  if (image.kind !== offered.image.kind) {
    return `it is a ${nameOf(offered.image)} at the source and a ${nameOf(image)} on this host`;
  }
  if (offered.readonly) return explainSize(offered, image);
  if (image.kind === 'device') {
    if (offered.image.identity.length === 0) return 'the source knows no worldwide name of this device';
    if (image.identity.join() !== offered.image.identity.join()) return 'it is another device on this host';
    return explainSize(offered, image);
  }
  if (offered.token === null) return 'the source could not write a token beside it';
  if (token === undefined || hashOfToken(token) !== offered.token.hash) {
    return 'what the source has written beside it is not there on this host: it is another directory';
  }
  if (image.inode !== offered.image.inode) return 'it is another file of the same directory on this host';
  // A file that grows as it is written may be larger by now.
  return offered.format === 'raw' ? explainSize(offered, image) : undefined;
}

function explainSize(offered: OfferedDisk, image: OfferedImage): string | undefined {
  if (image.bytes === offered.image.bytes) return undefined;
  return `it has ${offered.image.bytes} bytes at the source and ${image.bytes} on this host`;
}

function nameOf({ kind }: OfferedImage): string {
  return kind === 'device' ? 'block device' : 'file';
}
