/**
 * What dirty tracking costs the guest, without any migration: the same guest with and without it, in turns.
 *
 * The guest writes to every page of 128 MiB as fast as it can, so that each round makes it take a fault on each page.
 */
import { readMappings } from '../src/linux/process.ts';
import { KernelDirtyTracker } from '../src/memory/dirty-tracker.ts';
import { RamLayout } from '../src/memory/layout.ts';
import type { Guest } from './guest.ts';
import { GuestWork, lostPercent, type WorkSample } from './guest-work.ts';
import type { Results } from './results.ts';
import { GUEST_MEMORY_MEBIBYTES } from './workloads.ts';

export interface TrackingCase {
  readonly name: string;
  /** The workload's `mode`. */
  readonly writes: 'words' | 'page';
  readonly roundMs: number;
}

export const TRACKING_CASES: readonly TrackingCase[] = [
  { name: 'tracking/words-1s', writes: 'words', roundMs: 1000 },
  { name: 'tracking/page-1s', writes: 'page', roundMs: 1000 },
  { name: 'tracking/words-100ms', writes: 'words', roundMs: 100 },
];

const PART_MS = 3_000;

export async function measureTracking(guest: Guest, cases: readonly TrackingCase[], results: Results): Promise<void> {
  const work = new GuestWork(guest);
  for (const { name, writes, roundMs } of cases) {
    await guest.type(`set mode ${writes}`);
    const before = await work.measure(PART_MS);
    const tracked = await measureWhileTracked(guest, work, roundMs);
    const after = await work.measure(PART_MS);
    results.add(`${name}/lostPercent`, lostPercent(before, tracked, after));
    results.add(`${name}/undisturbedCpuPercent`, (before.cpuPercent + after.cpuPercent) / 2);
  }
}

async function measureWhileTracked(guest: Guest, work: GuestWork, roundMs: number): Promise<WorkSample> {
  const ram = readMappings(guest.pid).find(({ path }) => path.startsWith('/dev/shm/'))!;
  const layout = new RamLayout([{ id: 'ram0', bytes: GUEST_MEMORY_MEBIBYTES * 2 ** 20 }]);
  using tracker = KernelDirtyTracker.open(guest.pid, layout, [ram.start]);
  tracker.start();
  const rounds = setInterval(() => tracker.collect(), roundMs);
  try {
    return await work.measure(PART_MS);
  } finally {
    clearInterval(rounds);
  }
}
