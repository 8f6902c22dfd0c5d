/**
 * What dirty tracking costs the guest, without any migration: the same guest with and without it, in turns.
 *
 * The guest writes to every page of 128 MiB as fast as it can, so that each round makes it take a fault on each page.
 */
import { SYSTEM_CLOCK } from '../src/base/clock.ts';
import { readMappings } from '../src/linux/process.ts';
import { KernelDirtyTracker } from '../src/memory/dirty-tracker.ts';
import { RamLayout } from '../src/memory/layout.ts';
import { lookAtWriting } from '../src/migration/dirty-window.ts';
import type { Guest } from './guest.ts';
import { GuestWork, lostPercent, type WorkSample } from './guest-work.ts';
import type { Results } from './results.ts';
import { GUEST_MEMORY_MEBIBYTES } from './workloads.ts';

export interface TrackingCase {
  readonly name: string;
  /** The workload's `mode`. */
  readonly writes: 'words' | 'page';
  /** Between two collections; `windows`: a sampling window of the VM's history begins each second. */
  readonly rounds: number | 'windows';
}

export const TRACKING_CASES: readonly TrackingCase[] = [
  { name: 'tracking/words-1s', writes: 'words', rounds: 1000 },
  { name: 'tracking/page-1s', writes: 'page', rounds: 1000 },
  { name: 'tracking/words-100ms', writes: 'words', rounds: 100 },
  { name: 'tracking/sampled', writes: 'words', rounds: 'windows' },
];

const PART_MS = 3_000;
const WINDOW_MS = 1000;
const LAYOUT = new RamLayout([{ id: 'ram0', bytes: GUEST_MEMORY_MEBIBYTES * 2 ** 20 }]);

export async function measureTracking(guest: Guest, cases: readonly TrackingCase[], results: Results): Promise<void> {
  const work = new GuestWork(guest);
  for (const { name, writes, rounds } of cases) {
    await guest.type(`set mode ${writes}`);
    const before = await work.measure(PART_MS);
    const tracked = await (rounds === 'windows'
      ? measureWhileSampled(guest, work)
      : measureWhileTracked(guest, work, rounds));
    const after = await work.measure(PART_MS);
    results.add(`${name}/lostPercent`, lostPercent(before, tracked, after));
    results.add(`${name}/undisturbedCpuPercent`, (before.cpuPercent + after.cpuPercent) / 2);
  }
}

async function measureWhileTracked(guest: Guest, work: GuestWork, roundMs: number): Promise<WorkSample> {
  using tracker = openTracker(guest);
  tracker.start();
  const rounds = setInterval(() => tracker.collect(), roundMs);
  try {
    return await work.measure(PART_MS);
  } finally {
    clearInterval(rounds);
  }
}

/** As the daemon samples a VM, only 60 times as often as it does by default: so much a minute is lost in a second here. */
async function measureWhileSampled(guest: Guest, work: GuestWork): Promise<WorkSample> {
  const { pageCount } = LAYOUT;
  let isOver = false;
  const sampling = (async () => {
    while (!isOver) {
      using tracker = openTracker(guest);
      await lookAtWriting({
        tracker,
        pageCount,
        scale: 1,
        clock: SYSTEM_CLOCK,
        signal: AbortSignal.timeout(WINDOW_MS),
      });
    }
  })();
  try {
    return await work.measure(PART_MS);
  } finally {
    isOver = true;
    await sampling;
  }
}

function openTracker(guest: Guest): KernelDirtyTracker {
  const ram = readMappings(guest.pid).find(({ path }) => path.startsWith('/dev/shm/'))!;
  return KernelDirtyTracker.open(guest.pid, LAYOUT, [ram.start]);
}
