/**
 * What the two hosts tell each other of a VM's disks, with the feature `disks`.
 *
 * Owns: the parts of offer and ready that describe disks. Must hold: everything is bounded; the name of a token can only
 * be that of a token, because the destination opens it.
 */
import { z } from 'zod';
import { MAX_BACKING_IMAGES, MAX_PATH_LENGTH, MAX_WORD_LENGTH } from './limits.ts';
import { argument, count, type Immutable, text, word } from './message-fields.ts';

const hex32 = z.string().regex(/^[0-9a-f]{64}$/, 'is not 32 bytes in hexadecimal');

/** What a file or block device of a host is known by. */
const image = z.strictObject({
  kind: z.enum(['file', 'device']),
  /** Number of the file in its file system; empty for a device. */
  inode: z.string().regex(/^\d{0,20}$/, 'is not the number of a file'),
  /** Of the file or device. */
  bytes: count,
  /** Of storage, less the holes. */
  usedBytes: count,
  /** Names of the device that no other device in the world has; empty where it has none. */
  identity: z.array(text(MAX_WORD_LENGTH).min(1)).max(64),
});

export const offeredDisk = z.strictObject({
  name: word,
  path: argument(MAX_PATH_LENGTH),
  format: word,
  readonly: z.boolean(),
  virtualBytes: count,
  /** Whether the destination may make an image of its own, which is filled by this migration; `impossible`: whoever asks for it. */
  copy: z.enum(['impossible', 'never', 'ifNeeded', 'always']),
  /** Where it is to be there; null: at the same path, or where that host makes images. */
  to: argument(MAX_PATH_LENGTH).nullable(),
  image,
  /** A file beside the image, and the SHA-256 of what is in it; null where there is none. */
  token: z
    .strictObject({ name: z.string().regex(/^\.godwit-[0-9a-f]{16}$/, 'is not the name of a token'), hash: hex32 })
    .nullable(),
  /** The images below it; `bytes` of their files. */
  backing: z.array(z.strictObject({ path: argument(MAX_PATH_LENGTH), bytes: count })).max(MAX_BACKING_IMAGES),
});

export const readyDisk = z.strictObject({
  name: word,
  /** `copied`: the image is empty, and waits to be filled. */
  kind: z.enum(['shared', 'copied']),
  path: argument(MAX_PATH_LENGTH),
  /** What the token beside the image holds; null where none was offered. */
  token: hex32.nullable(),
});

/** The destination may make an image of its own. */
export function mayBeCopied({ copy }: Pick<OfferedDisk, 'copy'>): boolean {
  return copy === 'ifNeeded' || copy === 'always';
}

export type OfferedDisk = Immutable<z.infer<typeof offeredDisk>>;
export type OfferedImage = OfferedDisk['image'];
export type ReadyDisk = Immutable<z.infer<typeof readyDisk>>;
