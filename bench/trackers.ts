/**
 * The ways of finding written pages, compared on one guest without any migration: what each takes from the guest's work, how
 * many faults a second it answers, and how many of the pages that it reports were not written.
 *
 * Must hold: all look equally often, and `auto` is told what a migration would tell it: that each look sends what the last
 * one has found.
 */
import { readSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { countPages, PAGE_SIZE, type PageRun } from '../src/base/page.ts';
import { median } from '../src/base/statistics.ts';
import { identifyProcess, readMappings } from '../src/linux/process.ts';
import { hash128 } from '../src/linux/xxhash.ts';
import { resendBudget } from '../src/memory/group-size.ts';
import { RamLayout } from '../src/memory/layout.ts';
import { openTracker } from '../src/migration/tracker-opening.ts';
import type { Guest } from './guest.ts';
import { GuestWork, lostPercent, type WorkSample } from './guest-work.ts';
import type { Results } from './results.ts';
import { alignColumns } from './table.ts';
import { GUEST_MEMORY_MEBIBYTES } from './workloads.ts';

interface TrackedWork {
  readonly name: string;
  /** Of the guest, whose working set is 128 MiB. */
  readonly settings: readonly string[];
  readonly roundMs: number;
}

/** All that can be written is, in order; and single pages here and there, as most guests write. */
const WORKS: readonly TrackedWork[] = [
  { name: 'all-1s', settings: ['rate max', 'order sequential'], roundMs: 1000 },
  { name: 'all-100ms', settings: ['rate max', 'order sequential'], roundMs: 100 },
  { name: 'sparse-1s', settings: ['rate 4000', 'order random'], roundMs: 1000 },
  { name: 'sparse-100ms', settings: ['rate 4000', 'order random'], roundMs: 100 },
];
const TRACKERS: readonly string[] = ['kernel', 'groups:1', 'groups:16', 'groups:64', 'groups:512', 'groups:auto'];

export interface TrackerCase {
  readonly name: string;
  readonly work: TrackedWork;
  readonly tracker: string;
}

export const TRACKER_CASES: readonly TrackerCase[] = WORKS.flatMap((work) =>
  TRACKERS.map((tracker) => ({ name: `trackers/${work.name}/${tracker}`, work, tracker })),
);

const PART_MS = 2_500;
/** A console takes one line after the other, and a rate has come to be. */
const SETTLE_MS = 1_000;
const PAGE_COUNT = (GUEST_MEMORY_MEBIBYTES * 2 ** 20) / PAGE_SIZE;

export async function measureTrackers(guest: Guest, cases: readonly TrackerCase[], results: Results): Promise<void> {
  const work = new GuestWork(guest);
  for (const candidate of WORKS) {
    const wanted = cases.filter((each) => each.work === candidate);
    if (wanted.length === 0) continue;
    for (const setting of candidate.settings) {
      await guest.type(`set ${setting}`);
      await delay(SETTLE_MS);
    }
    let before = await work.measure(PART_MS);
    for (const { name, tracker } of wanted) {
      const tracked = await measureTracked(guest, work, tracker, candidate.roundMs);
      const after = await work.measure(PART_MS);
      results.add(`${name}/lostPercent`, lostPercent(before, tracked.work, after));
      results.add(`${name}/undisturbedCpuPercent`, (before.cpuPercent + after.cpuPercent) / 2);
      results.add(`${name}/faultsPerSecond`, tracked.faultsPerSecond);
      results.add(`${name}/pagesPerLook`, tracked.pagesPerLook);
      results.add(`${name}/falsePercent`, tracked.falsePercent);
      before = after;
    }
  }
}

export function renderTrackers(results: Results): string {
  const rows = TRACKER_CASES.flatMap(({ name }) => {
    const of = (number: string): number => median(results.samples(`${name}/${number}`));
    if (Number.isNaN(of('lostPercent'))) return [];
    const numbers = [of('lostPercent').toFixed(1), of('faultsPerSecond').toFixed(0), of('pagesPerLook').toFixed(0)];
    return [[name, ...numbers, of('falsePercent').toFixed(1), of('undisturbedCpuPercent').toFixed(0)]];
  });
  if (rows.length === 0) return '';
  const titles = ['trackers', 'work lost %', 'faults/s', 'pages/look', 'not written %', 'CPU had otherwise %'];
  return `\n${[alignColumns([titles, ...rows]), ...WORKS.flatMap((work) => describeWinners(work, results))].join('\n')}\n`;
}

/** What is less apart cannot be told from noise. */
const ALIKE_POINTS = 2;

/** Which takes least from the guest, and of those that take as little which finds least that was not written. */
function describeWinners({ name }: TrackedWork, results: Results): string[] {
  const measured = TRACKERS.map((tracker) => {
    const of = (number: string): number => median(results.samples(`trackers/${name}/${tracker}/${number}`));
    return { tracker, lost: Math.max(0, of('lostPercent')), falsePercent: of('falsePercent') };
  }).filter(({ lost }) => !Number.isNaN(lost));
  const best = (all: typeof measured): string => {
    const least = Math.min(...all.map(({ lost }) => lost));
    const alike = all.filter(({ lost }) => lost <= least + ALIKE_POINTS);
    const { tracker, lost, falsePercent } = alike.reduce((a, b) => (b.falsePercent < a.falsePercent ? b : a));
    return `${tracker} wins (${lost.toFixed(1)} % of the work lost, ${falsePercent.toFixed(1)} % not written)`;
  };
  const groups = measured.filter(({ tracker }) => tracker !== 'kernel');
  return groups.length > 0 ? [`${name}: ${best(measured)}; without the kernel's ${best(groups)}`] : [];
}

interface Tracked {
  readonly work: WorkSample;
  /** NaN for the kernel, which does not count its own. */
  readonly faultsPerSecond: number;
  readonly pagesPerLook: number;
  readonly falsePercent: number;
}

async function measureTracked(guest: Guest, work: GuestWork, name: string, roundMs: number): Promise<Tracked> {
  const ram = readMappings(guest.pid).find(({ path }) => path.startsWith('/dev/shm/'))!;
  const { tracker } = await openTracker(name, {
    qemu: identifyProcess(guest.pid)!,
    layout: new RamLayout([{ id: 'ram0', bytes: PAGE_COUNT * PAGE_SIZE }]),
    starts: [ram.start],
    vcpuTids: guest.vcpuTids,
    canReturnMemory: false,
    pagesPerSecond: 0,
    entrust: () => () => undefined,
  });
  using _ = tracker;
  const looks: number[] = [];
  const look = (): PageRun[] => {
    const runs = tracker.collect();
    looks.push(countPages(runs));
    tracker.setBudget(resendBudget(countPages(runs)));
    return runs;
  };
  await delay(roundMs);
  look();
  const rounds = setInterval(look, roundMs);
  const faultsBefore = tracker.facts.groups?.faults ?? Number.NaN;
  const sample = await work.measure(PART_MS);
  const faults = (tracker.facts.groups?.faults ?? Number.NaN) - faultsBefore;
  clearInterval(rounds);
  const pagesPerLook = median(looks);
  return {
    work: sample,
    faultsPerSecond: (faults * 1000) / PART_MS,
    pagesPerLook,
    falsePercent: await measureFalse(guest, look, roundMs),
  };
}

/** Of the pages that a look finds, those whose content is what it was at the look before. The guest stands still at both. */
async function measureFalse(guest: Guest, look: () => PageRun[], roundMs: number): Promise<number> {
  const hashes = new BigUint64Array(PAGE_COUNT * 2);
  standStill(guest, () => {
    look();
    hashPages(guest, [{ first: 0, count: PAGE_COUNT }], hashes);
  });
  await delay(roundMs);
  return standStill(guest, () => {
    const found = look();
    const now = new BigUint64Array(hashes.length);
    hashPages(guest, found, now);
    let unchanged = 0;
    for (const { first, count } of found) {
      for (let at = first * 2; at < (first + count) * 2; at += 2) {
        if (now[at] === hashes[at] && now[at + 1] === hashes[at + 1]) unchanged++;
      }
    }
    return (100 * unchanged) / Math.max(1, countPages(found));
  });
}

function standStill<T>(guest: Guest, act: () => T): T {
  process.kill(guest.pid, 'SIGSTOP');
  try {
    return act();
  } finally {
    process.kill(guest.pid, 'SIGCONT');
  }
}

function hashPages(guest: Guest, runs: readonly PageRun[], into: BigUint64Array): void {
  const page = Buffer.alloc(PAGE_SIZE);
  for (const { first, count } of runs) {
    for (let number = first; number < first + count; number++) {
      readSync(guest.ramFd, page, 0, PAGE_SIZE, number * PAGE_SIZE);
      hash128(page, 0, PAGE_SIZE, 0, into, number * 2);
    }
  }
}
