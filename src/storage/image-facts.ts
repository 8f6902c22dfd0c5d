/**
 * What the image of a disk is on this host: a file or a block device, and what it is known by.
 *
 * Must hold: the image is looked at and never opened; a symbolic link is followed, as QEMU does.
 */
import { type BigIntStats, readFileSync, statSync } from 'node:fs';
import { GodwitError } from '../base/errors.ts';
import { listOpenFiles } from '../linux/process.ts';
import type { OfferedImage } from '../wire/disk-messages.ts';
import { identifyDevice } from './device-identity.ts';

const SECTOR_BYTES = 512;

/** @throws GW_INPUT_UNREADABLE when there is neither a file nor a block device at this path */
export function readImageFacts(path: string): OfferedImage {
  const found = stat(path);
  if (found.isFile()) return { kind: 'file', inode: String(found.ino), bytes: Number(found.size), identity: [] };
  if (!found.isBlockDevice()) throw unreadable(path, 'it is neither a file nor a block device');
  const { major, minor } = numbersOf(found.rdev);
  const identity = [...identifyDevice(major, minor)];
  return { kind: 'device', inode: '', bytes: deviceBytes(path, major, minor), identity };
}

/** Whether the process has open what is at this path now: an image that was replaced is another one. */
export function hasOpen(pid: number, path: string): boolean {
  const found = stat(path);
  return listOpenFiles(pid).some(({ fd }) => {
    try {
      const open = statSync(`/proc/${pid}/fd/${fd}`, { bigint: true });
      return found.isFile() ? open.dev === found.dev && open.ino === found.ino : open.rdev === found.rdev;
    } catch {
      // Closed meanwhile.
      return false;
    }
  });
}

/** makedev(3). */
function numbersOf(device: bigint): { major: number; minor: number } {
  return {
    major: Number(((device >> 8n) & 0xfffn) | ((device >> 32n) & ~0xfffn)),
    minor: Number((device & 0xffn) | ((device >> 12n) & 0xffffff00n)),
  };
}

function deviceBytes(path: string, major: number, minor: number): number {
  try {
    return Number(readFileSync(`/sys/dev/block/${major}:${minor}/size`, 'utf8')) * SECTOR_BYTES;
  } catch (error) {
    throw unreadable(path, 'its size is not known', error);
  }
}

function stat(path: string): BigIntStats {
  try {
    return statSync(path, { bigint: true });
  } catch (error) {
    throw unreadable(path, (error as NodeJS.ErrnoException).code ?? 'it cannot be looked at', error);
  }
}

function unreadable(path: string, reason: string, cause?: unknown): GodwitError {
  return new GodwitError('GW_INPUT_UNREADABLE', { path, reason }, cause === undefined ? undefined : { cause });
}
