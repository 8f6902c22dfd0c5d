/**
 * The guest's work over a time, read from its RAM, for measurements that need no migration.
 *
 * With the work comes the share of a CPU that the guest had: where it is far from 100 % the machine is too busy, and
 * what is measured is the other programs.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { readThreadSeconds } from './cpu-time.ts';
import type { Guest } from './guest.ts';
import { findProgressCounters, readProgress } from './progress-page.ts';
import { GUEST_MEMORY_MEBIBYTES } from './workloads.ts';

export interface WorkSample {
  readonly pagesPerSecond: number;
  /** Of the vCPUs, of one CPU. */
  readonly cpuPercent: number;
}

export class GuestWork {
  readonly #guest: Guest;
  readonly #offset: number;
  readonly #scratch = Buffer.alloc(16);

  constructor(guest: Guest) {
    this.#guest = guest;
    this.#offset = findProgressCounters(guest.ramFd, GUEST_MEMORY_MEBIBYTES * 2 ** 20);
  }

  /** Over the next `ms`. */
  async measure(ms: number): Promise<WorkSample> {
    const from = this.#look();
    await delay(ms);
    const to = this.#look();
    const seconds = (to.atMs - from.atMs) / 1000;
    return {
      pagesPerSecond: (to.pages - from.pages) / seconds,
      cpuPercent: (100 * (to.cpuSeconds - from.cpuSeconds)) / seconds,
    };
  }

  #look(): { atMs: number; pages: number; cpuSeconds: number } {
    const { pid, ramFd, vcpuTids } = this.#guest;
    const cpuSeconds = vcpuTids.reduce((sum, tid) => sum + readThreadSeconds(pid, tid), 0);
    return { atMs: performance.now(), pages: readProgress(ramFd, this.#offset, this.#scratch), cpuSeconds };
  }
}

/** What a disturbance takes from the guest, in percent, from a measurement in it and those before and after. */
export function lostPercent(before: WorkSample, disturbed: WorkSample, after: WorkSample): number {
  return 100 * (1 - disturbed.pagesPerSecond / ((before.pagesPerSecond + after.pagesPerSecond) / 2));
}
