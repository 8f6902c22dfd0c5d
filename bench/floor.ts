/**
 * The floor: what no migration that sends whole contents can be below, printed beside what was sent.
 *
 * It is what zstd at its densest leaves of the guest's pages that are not zero, each content once, in one piece. Must hold:
 * the guest stands still while it is read, so that the pages are of one moment.
 */

import { createHash } from 'node:crypto';
import { mkdirSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { constants, createZstdCompress } from 'node:zlib';
import { PAGE_SIZE } from '../src/base/page.ts';
import { QEMU_METHODS } from './qemu-methods.ts';
import { QemuSystem } from './qemu-system.ts';
import type { Results } from './results.ts';
import type { Bench } from './system.ts';
import { DATA, GUEST_MEMORY_MEBIBYTES, IDLE, WORDS, type Workload } from './workloads.ts';

export interface FloorCase {
  readonly name: string;
  readonly workload: Workload;
}

export const FLOOR_CASES: readonly FloorCase[] = [
  { name: 'floor/data', workload: DATA },
  { name: 'floor/words', workload: WORDS },
  { name: 'floor/idle', workload: IDLE },
];

const DENSEST = 19;
/** As before a migration. */
const WARM_UP_MS = 6_000;
const ZERO = Buffer.alloc(PAGE_SIZE);

export async function measureFloors(
  bench: Bench,
  cases: readonly FloorCase[],
  results: Results,
  tell: (line: string) => void,
  stop: AbortSignal,
): Promise<void> {
  for (const [index, { name, workload }] of cases.entries()) {
    if (stop.aborted) return;
    tell(`${name} (some minutes)`);
    const run = `gwb${process.pid}-f${index}`;
    const directory = join(bench.directory, run);
    mkdirSync(directory);
    await using session = await new QemuSystem(bench, QEMU_METHODS[0]!).open({ name: run, directory }, workload);
    await session.source.booted();
    await delay(WARM_UP_MS);
    await session.pauseSource();
    const pages = contentsOf(session.source.ramFd);
    results.add(`${name}/rawMegabytes`, (pages.length * PAGE_SIZE) / 1e6);
    results.add(`${name}/megabytes`, (await packedBytes(pages)) / 1e6);
  }
}

/** Empty when none was measured. */
export function renderFloors(results: Results): string[] {
  return FLOOR_CASES.flatMap(({ name, workload }) => {
    const [megabytes] = results.samples(`${name}/megabytes`);
    const [raw] = results.samples(`${name}/rawMegabytes`);
    if (megabytes === undefined || raw === undefined) return [];
    const what = `pages that differ and are not zero ${raw.toFixed(0)} MB, under zstd -${DENSEST} ${megabytes.toFixed(0)}`;
    return [`\n${name} (${workload.description}): ${what}`];
  });
}

/** Each content once. */
function contentsOf(ramFd: number): Buffer[] {
  const seen = new Set<string>();
  const pages: Buffer[] = [];
  for (let page = 0; page < (GUEST_MEMORY_MEBIBYTES * 2 ** 20) / PAGE_SIZE; page++) {
    const bytes = Buffer.alloc(PAGE_SIZE);
    readSync(ramFd, bytes, 0, PAGE_SIZE, page * PAGE_SIZE);
    if (bytes.equals(ZERO)) continue;
    const digest = createHash('sha256').update(bytes).digest('base64');
    if (seen.has(digest)) continue;
    seen.add(digest);
    pages.push(bytes);
  }
  return pages;
}

async function packedBytes(pages: readonly Buffer[]): Promise<number> {
  const zstd = createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: DENSEST } });
  let bytes = 0;
  await pipeline(pages, zstd, async (packed: AsyncIterable<Buffer>) => {
    for await (const piece of packed) bytes += piece.length;
  });
  return bytes;
}
