/**
 * What the guests do while they are moved.
 *
 * Must hold: every workload counts its progress (`struct counters` of guest/linux/workload/memory.h), often enough
 * that a pause of a few milliseconds shows.
 */
import type { WorkloadOptions } from '../guest/linux/images.ts';

export interface Workload {
  readonly name: string;
  readonly description: string;
  /** Of the sample guest (guest/linux). */
  readonly options: WorkloadOptions;
  /** A migration that takes longer is called off and counts as not converging. */
  readonly timeoutMs: number;
  /** Default: `GUEST_MEMORY_MEBIBYTES`. */
  readonly memoryMiB?: number;
}

export const GUEST_MEMORY_MEBIBYTES = 512;

/** Not quite nothing, because a guest without any progress cannot be seen standing still. */
export const IDLE: Workload = {
  name: 'idle',
  description: '200 MiB of half compressible data, 500 small writes a second to 1 MiB of it',
  options: { fillMiB: 200, workingSetMiB: 1, rate: 500, mode: 'words', check: 'off' },
  timeoutMs: 60_000,
};

/** A few whole pages a second, here and there: in two minutes a twentieth of the memory. */
export const LIGHT: Workload = {
  name: 'light',
  description: '200 MiB of half compressible data, 20 whole pages a second of 64 MiB of it rewritten at random',
  options: { fillMiB: 200, workingSetMiB: 64, rate: 20, mode: 'page', order: 'random', check: 'off' },
  timeoutMs: 60_000,
};

export const DATA: Workload = {
  name: 'data',
  description: '200 MiB of half compressible data, 64 MiB of it rewritten at random, 4000 pages a second',
  options: { fillMiB: 200, workingSetMiB: 64, rate: 4000, mode: 'page', order: 'random', check: 1000 },
  timeoutMs: 120_000,
};

/** As most programs write: here and there. */
export const WORDS: Workload = {
  name: 'words',
  description:
    '200 MiB of half compressible data, two words in each of 4000 pages a second of 64 MiB changed at random',
  options: { fillMiB: 200, workingSetMiB: 64, rate: 4000, mode: 'words', order: 'random', check: 1000 },
  timeoutMs: 120_000,
};

/** Nothing that packing could do for it, but for what little the guest's kernel has. */
export const RANDOM: Workload = {
  name: 'random',
  description: '200 MiB of random data, 64 MiB of it rewritten at random, 1000 pages a second',
  options: {
    fillMiB: 200,
    workingSetMiB: 64,
    rate: 1000,
    mode: 'page',
    order: 'random',
    compressiblePercent: 0,
    check: 1000,
  },
  timeoutMs: 120_000,
};

export const NON_CONVERGING: Workload = {
  name: 'non-converging',
  description: '128 MiB of half compressible data, all of it rewritten over and over, as fast as the guest can',
  options: { fillMiB: 128, workingSetMiB: 128, rate: 'max', mode: 'page', check: 'off' },
  timeoutMs: 120_000,
};

/** All of the guest's CPU is used, by reading mostly: whatever a migration takes from the guest shows in its work. */
export const COMPUTING: Workload = {
  name: 'computing',
  description: 'as data, and the guest verifies its memory as fast as it can',
  options: { fillMiB: 200, workingSetMiB: 64, rate: 4000, mode: 'page', order: 'random', check: 'max' },
  timeoutMs: 60_000,
};

/** For the guest's view of what tracking and throttling cost: it uses all of its CPU, and its work is counted. */
export const BUSY: Workload = {
  name: 'busy',
  description: 'one word in each page of 128 MiB, over and over, as fast as the guest can',
  options: { fillMiB: 128, workingSetMiB: 128, rate: 'max', mode: 'words', check: 'off' },
  timeoutMs: 60_000,
};
