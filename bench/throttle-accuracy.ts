/** How much of its work a guest really loses when it is slowed by so many percent, and that it has it back afterwards. */
import { setTimeout as delay } from 'node:timers/promises';
import { openVcpuThrottle } from '../src/linux/cpu-bandwidth.ts';
import type { Guest } from './guest.ts';
import { GuestWork, lostPercent, type WorkSample } from './guest-work.ts';
import type { Results } from './results.ts';

export const THROTTLE_PERCENTS: readonly number[] = [20, 50, 80];

const PART_MS = 3_000;
/** The quota counts in periods of some ten milliseconds. */
const SETTLE_MS = 300;

export async function measureThrottle(guest: Guest, percents: readonly number[], results: Results): Promise<void> {
  const work = new GuestWork(guest);
  for (const percent of percents) {
    const before = await work.measure(PART_MS);
    const slowed = await measureSlowed(guest, work, percent);
    await delay(SETTLE_MS);
    const after = await work.measure(PART_MS);
    const lost = lostPercent(before, slowed, after);
    const name = `throttle/${percent}`;
    results.add(`${name}/lostPercent`, lost);
    results.add(`${name}/offPoints`, Math.abs(lost - percent));
    results.add(`${name}/releasedPercent`, (100 * after.pagesPerSecond) / before.pagesPerSecond);
    results.add(`${name}/undisturbedCpuPercent`, (before.cpuPercent + after.cpuPercent) / 2);
  }
}

async function measureSlowed(guest: Guest, work: GuestWork, percent: number): Promise<WorkSample> {
  using throttle = openVcpuThrottle({ pid: guest.pid, tids: guest.vcpuTids, name: 'bench' });
  throttle.set(percent);
  await delay(SETTLE_MS);
  return await work.measure(PART_MS);
}
