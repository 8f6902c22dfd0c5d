// Batches through real threads.
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { PACKING_STEPS, type PackingStep } from '../base/packing-step.ts';
import { PAGE_SIZE, type PageRun } from '../base/page.ts';
import type { PageBatch, StagingBuffer } from '../memory/staging.ts';
import type { Conditions } from './pack-ladder.ts';
import { PackThreads } from './pack-threads.ts';
import { NOTHING_PACKED, Packing } from './packing.ts';
import { createSentLines } from './sent-lines.ts';

const PAGES = 512;
// So slow that packing pays on the busiest machine.
const SLOW: Conditions = { bytesPerSecond: 1e6, isIdle: false, cpus: 2, nowMs: 0 };
const FAST: Conditions = { bytesPerSecond: 5e9, isIdle: false, cpus: 2, nowMs: 0 };

let threads: PackThreads;
let link: Conditions;
const memory = new Uint8Array(PAGES * PAGE_SIZE);

beforeEach(() => {
  threads = new PackThreads(2, 4, createSentLines(PAGES, 1 << 20));
  link = SLOW;
  for (let i = 0; i < memory.length; i++) memory[i] = (i >>> 7) & 0xff;
});
afterEach(() => threads[Symbol.dispose]());

function openPacking(steps: readonly PackingStep[] = PACKING_STEPS): Packing {
  const codecs = steps.includes('compress') ? (['zstd', 'lz4'] as const) : [];
  return new Packing(threads, {
    conditions: () => link,
    codecs,
    steps: new Set(steps),
    parallel: 2,
    densestLevel: 9,
    counts: { ...NOTHING_PACKED },
  });
}

async function read(packing: Packing, run: PageRun): Promise<{ buffer: StagingBuffer; batch: PageBatch }> {
  const buffer = await packing.pool.lend();
  const readPages = ({ first, count }: PageRun, into: Uint8Array) =>
    into.set(memory.subarray(first * PAGE_SIZE, (first + count) * PAGE_SIZE));
  return { buffer, batch: buffer.read({ readPages } as never, [run]) };
}

/** Past the batches that go raw to see what the link can take. */
async function warmUp(packing: Packing): Promise<void> {
  for (let i = 0; i < 4; i++) await packOne(packing, { first: 500, count: 1 });
}

async function packOne(packing: Packing, run: PageRun, whole = false) {
  const { buffer, batch } = await read(packing, run);
  try {
    return await packing.pack(buffer, batch, packing.choose(batch.dataPages, whole));
  } finally {
    packing.pool.giveBack(buffer);
  }
}

test('several batches at a time, each with what is its own', async () => {
  const packing = openPacking();
  await warmUp(packing);
  const batches = await Promise.all([0, 64, 128, 192].map((first) => read(packing, { first, count: 64 })));
  const packed = await Promise.all(
    batches.map(({ buffer, batch }) => packing.pack(buffer, batch, packing.choose(batch.dataPages, false))),
  );
  expect(packed.map((each) => each?.runs)).toEqual(
    [0, 64, 128, 192].map((first) => [{ first, count: 64, kind: 'data' }]),
  );
  for (const each of packed) expect(each!.packed.length).toBeLessThan(64 * PAGE_SIZE * 0.2);
});

test('pages that are sent again', async () => {
  const packing = openPacking();
  await warmUp(packing);
  await packOne(packing, { first: 0, count: 16 });
  memory[3 * PAGE_SIZE]! ^= 1;
  const again = await packOne(packing, { first: 0, count: 16 });
  expect(again?.runs).toEqual([{ first: 3, count: 1, kind: 'delta' }]);
});

test('the destination misses the pages: they are whole', async () => {
  const packing = openPacking();
  await warmUp(packing);
  await packOne(packing, { first: 0, count: 16 });
  expect((await packOne(packing, { first: 0, count: 16 }, true))?.runs).toEqual([
    { first: 0, count: 16, kind: 'data' },
  ]);
});

test('a batch that went around the steps is not what the next one is compared with', async () => {
  const packing = openPacking();
  await warmUp(packing);
  await packOne(packing, { first: 0, count: 16 });
  memory[3 * PAGE_SIZE]! ^= 1;
  link = FAST;
  expect(await packOne(packing, { first: 0, count: 16 })).toBeUndefined();
  memory[3 * PAGE_SIZE]! ^= 1;
  link = SLOW;
  expect((await packOne(packing, { first: 0, count: 16 }))?.runs).toEqual([{ first: 0, count: 16, kind: 'data' }]);
});

test('what was forgotten is sent whole', async () => {
  const packing = openPacking();
  await warmUp(packing);
  await packOne(packing, { first: 0, count: 4 });
  packing.forget([{ first: 1, count: 2 }]);
  expect((await packOne(packing, { first: 0, count: 4 }))?.runs).toEqual([{ first: 1, count: 2, kind: 'data' }]);
});

test('threads that have died: everything goes as it is, also what they were at', async () => {
  const packing = openPacking();
  await warmUp(packing);
  const { buffer, batch } = await read(packing, { first: 0, count: 256 });
  const packed = packing.pack(buffer, batch, packing.choose(batch.dataPages, false));
  threads[Symbol.dispose]();
  expect(await packed).toBeUndefined();
  expect(await packOne(packing, { first: 256, count: 16 })).toBeUndefined();
});

test('however its threads end, the process lives, and they leave no memory behind', async () => {
  const module = new URL('../../test/support/ending-packer.ts', import.meta.url);
  const endOnce = async () => {
    const owner = new Worker(module);
    const heard: string[] = [];
    owner.on('message', (word: string) => heard.push(word));
    await once(owner, 'exit');
    expect(heard).toEqual(['packing']);
  };
  for (let i = 0; i < 4; i++) await endOnce();
  const before = process.memoryUsage.rss();
  for (let i = 0; i < 16; i++) await endOnce();
  expect(process.memoryUsage.rss() - before).toBeLessThan(64 * 2 ** 20);
});
