/**
 * Whether a VM's RAM fits on this host.
 *
 * A tmpfs that runs full kills the guest with SIGBUS at its next new page, so a VM that cannot fit is refused first.
 */
import { readFileSync, statfsSync } from 'node:fs';
import { GodwitError } from '../base/errors.ts';
import { formatSize } from '../base/units.ts';

/** The error to refuse with, or undefined when there is room now. */
export function lackOfRoom(bytes: number, host: string): GodwitError | undefined {
  const shared = statfsSync('/dev/shm');
  const rooms: [string, number][] = [
    ['shared memory (/dev/shm)', shared.bavail * shared.bsize],
    ['memory', availableMemory()],
  ];
  for (const [resource, available] of rooms) {
    if (available >= bytes) continue;
    return new GodwitError('GW_SYS_NO_ROOM', {
      resource,
      host,
      needed: formatSize(bytes),
      available: formatSize(available),
    });
  }
  return undefined;
}

function availableMemory(): number {
  const kib = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1];
  return kib === undefined ? Number.POSITIVE_INFINITY : Number(kib) * 1024;
}
