/**
 * A disk image by its path, if it can be served.
 *
 * Must hold: an image in a format is never served as if it were raw: its guest would see the format's bytes, and a write
 * would destroy it.
 */
import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { explain, GodwitError } from '../../base/errors.ts';
import { BlockFile } from '../../linux/block-file.ts';
import { RawImage } from './raw-image.ts';

/** The first bytes of formats that people have images in. */
const FORMATS: readonly (readonly [name: string, magic: string])[] = [
  ['qcow2', '514649fb'],
  ['QED', '51454400'],
  ['VMDK', '4b444d56'],
  ['VHDX', '7668647866696c65'],
  ['VHD', '636f6e6563746978'],
];
const MAGIC_BYTES = 8;

/** @param isRaw - it is raw whatever its first bytes look like. @throws GW_DISK_UNUSABLE */
export function openDiskFile(path: string, { isReadOnly, isRaw }: { isReadOnly: boolean; isRaw: boolean }): RawImage {
  try {
    const stat = statSync(path);
    if (!stat.isFile() && !stat.isBlockDevice()) throw unusable(path, 'it is neither a file nor a block device');
    const format = isRaw ? undefined : formatOf(path);
    if (format !== undefined) {
      const fix = `convert it (qemu-img convert -O raw), or give --raw if its guest wrote these bytes`;
      throw unusable(path, `it is a ${format} image, and only raw images are served: ${fix}`);
    }
    return new RawImage(BlockFile.open(path, isReadOnly), isReadOnly);
  } catch (error) {
    if (error instanceof GodwitError && error.code === 'GW_DISK_UNUSABLE') throw error;
    throw unusable(path, explain(error));
  }
}

function formatOf(path: string): string | undefined {
  const fd = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(MAGIC_BYTES);
    const hex = bytes.subarray(0, readSync(fd, bytes, 0, MAGIC_BYTES, 0)).toString('hex');
    return FORMATS.find(([, magic]) => hex.startsWith(magic))?.[0];
  } finally {
    closeSync(fd);
  }
}

function unusable(path: string, reason: string): GodwitError {
  return new GodwitError('GW_DISK_UNUSABLE', { path, reason });
}
