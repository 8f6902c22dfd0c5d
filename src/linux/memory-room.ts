/**
 * Whether a guest's RAM fits on this host.
 *
 * Must hold: RAM is a file on tmpfs that fills as the guest touches it, and a tmpfs that runs full kills the guest with
 * SIGBUS at its next new page; so what cannot fit is found before QEMU starts, and what others were promised and have
 * not taken yet is not given away again.
 */
import { readFileSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { formatSize } from '../base/units.ts';

/** Something of which there is too little, in words for people. */
export interface Shortage {
  readonly resource: string;
  readonly needed: string;
  readonly available: string;
}

export interface RoomQuestion {
  readonly ramBytes: number;
  /** Memory that it shares with other VMs and that none of them has brought yet. */
  readonly sharedBytes?: number;
  /** Where the RAM file will be: its file system must have room. */
  readonly ramPath: string;
  /** RAM of VMs on their way to here. How much of it is taken already is not known, so all of it counts. */
  readonly promisedBytes: number;
}

/** What QEMU needs besides the guest's RAM: its heap, page tables, video memory. */
const QEMU_OVERHEAD_BYTES = 64 * 2 ** 20;

/** Empty: it fits, now. */
export function findShortages({ ramBytes, sharedBytes = 0, ramPath, promisedBytes }: RoomQuestion): Shortage[] {
  const directory = dirname(ramPath);
  const { bavail, bsize } = statfsSync(directory);
  const places = [
    { what: `room in ${directory}`, neededBytes: ramBytes + sharedBytes, freeBytes: bavail * bsize },
    { what: 'memory', neededBytes: ramBytes + sharedBytes + QEMU_OVERHEAD_BYTES, freeBytes: availableMemoryBytes() },
  ];
  const promised = promisedBytes === 0 ? '' : ` (beside ${formatSize(promisedBytes)} for VMs on their way here)`;
  const shared = sharedBytes === 0 ? '' : ` (${formatSize(sharedBytes)} of it to be shared with other VMs)`;
  return places.flatMap(({ what, neededBytes, freeBytes }) => {
    const availableBytes = Math.max(0, freeBytes - promisedBytes);
    if (availableBytes >= neededBytes) return [];
    const [needed, available] = [`${formatSize(neededBytes)}${shared}`, formatSize(availableBytes)];
    return [{ resource: `${what}${promised}`, needed, available }];
  });
}

/** Infinite where the kernel does not say. */
export function availableMemoryBytes(): number {
  const kilobytes = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1];
  return kilobytes === undefined ? Number.POSITIVE_INFINITY : Number(kilobytes) * 1024;
}
