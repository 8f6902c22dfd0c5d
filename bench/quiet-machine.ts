/**
 * What the bench does so that the machine it runs on, and the bench itself, are not what is measured.
 *
 * Owns: memory that was touched before, until it is disposed of. Must hold: it changes nothing that outlives the bench,
 * and gives every system the same.
 */
import { readdirSync, readFileSync, rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs';
import { freemem, setPriority } from 'node:os';
import { dirname } from 'node:path';
import { RamFile } from '../src/linux/ram-file.ts';

/** Two guests, two daemons and the bench, with room to spare. */
const WARM_BYTES = 6 * 2 ** 30;
/** Blocks of 8 MiB are what a hypervisor is told of here. */
const BLOCK_BYTES = 2 ** 20;
const KEPT_BYTES = 4096;
const BALLOON_DRIVER = '/sys/bus/virtio/drivers/virtio_balloon';
/** Of virtio's balloon (virtio 1.2, 5.5.3): free pages are reported to the hypervisor. */
const FEATURE_REPORTING = 5;
const HELPER_NICE = 10;

/** Whether a hypervisor takes back what is free, so that the first touch of a page costs a fault there: 13 µs, not 1. */
export function losesFreeMemory(): boolean {
  try {
    const devices = readdirSync(BALLOON_DRIVER).filter((name) => name.startsWith('virtio'));
    return devices.some(
      (name) => readFileSync(`${BALLOON_DRIVER}/${name}/features`, 'latin1')[FEATURE_REPORTING] === '1',
    );
  } catch {
    return false;
  }
}

/**
 * Touches memory and frees it, except for a page of each block: smaller blocks than the hypervisor is told of stay with
 * this machine, and the kernel takes them first.
 *
 * @param path - of a file on tmpfs, made here; it has no name any more when this returns
 */
export function warmMemory(path: string): Disposable {
  const bytes = Math.floor(Math.min(WARM_BYTES, freemem() / 2, roomAt(dirname(path)) / 2) / BLOCK_BYTES) * BLOCK_BYTES;
  writeFileSync(path, '');
  truncateSync(path, bytes);
  const file = RamFile.open(path, bytes);
  rmSync(path);
  const block = Buffer.alloc(BLOCK_BYTES);
  for (let at = 0; at < bytes; at += BLOCK_BYTES) file.write(at, block);
  for (let at = 0; at < bytes; at += BLOCK_BYTES) file.punch(at + KEPT_BYTES, BLOCK_BYTES - KEPT_BYTES);
  return file;
}

function roomAt(directory: string): number {
  const { bavail, bsize } = statfsSync(directory);
  return bavail * bsize;
}

/** The bench's own compiler and collector threads come after what is measured. Its main thread's children inherit that one's. */
export function lowerHelperThreads(): void {
  for (const tid of readdirSync('/proc/self/task').map(Number)) {
    if (tid === process.pid) continue;
    try {
      setPriority(tid, HELPER_NICE);
    } catch {
      // It has ended meanwhile.
    }
  }
}
