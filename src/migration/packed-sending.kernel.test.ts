// Pages through the steps that make them smaller, over page channels with their real threads, into another memory.
import { once } from 'node:events';
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ChannelPair, FAST, SLOW } from '../../test/support/channel-pair.ts';
import { times } from '../../test/support/further-cases.ts';
import { HeldSockets } from '../../test/support/held-sockets.ts';
import { SocketPair } from '../../test/support/socket-pair.ts';
import { PAGE_SIZE, type PageRun } from '../base/page.ts';
import { ContentIndexBuilder } from '../memory/content-index.ts';
import { ContentStore } from '../memory/content-store.ts';
import { PageFingerprint } from '../memory/page-fingerprint.ts';
import { PAGES_OF_ONE_CHANNEL } from './page-channels.ts';

const ENDINGS = times(4, 10);
const PAGES = 24;
const KEY = new Uint8Array(32).fill(4);

function pageOf(seed: number): Uint8Array {
  return Uint8Array.from({ length: PAGE_SIZE }, (_, i) =>
    seed === 0 ? 0 : (Math.imul(i + 1, seed * 7919) >>> 9) & 0xff,
  );
}

let pair: ChannelPair;

/** The same contents each time that it is filled with the same. */
function fill(page: number, seed: number): void {
  pair.source.memory.writePages({ first: page, count: 1 }, pageOf(seed));
}

function change(page: number, at: number): void {
  const contents = new Uint8Array(PAGE_SIZE);
  pair.source.memory.readPages({ first: page, count: 1 }, contents);
  contents[at]! ^= 1;
  pair.source.memory.writePages({ first: page, count: 1 }, contents);
}

/** Pages in a file of this host. */
class Image implements Disposable {
  readonly #path = join(tmpdir(), `godwit-image-${process.pid}-${Math.random()}`);
  readonly #fd = openSync(this.#path, 'w+');

  constructor(pages: readonly Uint8Array[]) {
    for (const [number, page] of pages.entries()) this.write(number, page);
  }

  write(number: number, page: Uint8Array): void {
    writeSync(this.#fd, page, 0, PAGE_SIZE, number * PAGE_SIZE);
  }

  get pieces() {
    return [{ fd: this.#fd, offset: 0, bytes: Number.MAX_SAFE_INTEGER }];
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
    rmSync(this.#path);
  }
}

/** From now on the destination holds these pages and says so; and says so of some others. */
async function hold(pages: readonly Uint8Array[], lies: readonly Uint8Array[]): Promise<Image> {
  const fingerprint = new PageFingerprint(KEY);
  const index = new ContentIndexBuilder(pages.length);
  for (const [number, page] of pages.entries()) index.add(number, fingerprint.of(page, 0));
  const image = new Image(pages);
  const store = await ContentStore.of(fingerprint, [{ index: index.finish(), image }]);
  for (const page of lies) store.filter.add(fingerprint.of(page, 0));
  pair.hold(store, KEY);
  return image;
}

beforeAll(async () => {
  // The lines of fewer pages than there are: some share a place.
  pair = await ChannelPair.open({ channels: 2, regions: [PAGES], lines: 10 });
  // Past the batches that go raw to see what the link can take.
  for (let i = 0; i < 5; i++) {
    fill(0, i + 1);
    await pair.send([{ first: 0, count: 1 }]);
  }
});
afterAll(async () => {
  expect(pair.failures).toEqual([]);
  await pair[Symbol.asyncDispose]();
});

test('what has not changed is not sent again, of what has only a part, and it is compressed', async () => {
  for (let page = 0; page < 8; page++) fill(page, 100 + page);
  await pair.send([{ first: 0, count: 8 }]);
  const before = { ...pair.counts };
  change(3, 7);
  const { bytes } = await pair.send([{ first: 0, count: 8 }]);
  expect(pair.counts.unchangedPages - before.unchangedPages).toBe(7);
  expect(pair.counts.deltaPages - before.deltaPages).toBe(1);
  expect(bytes).toBeLessThan(200);
  expect(before.compressedToBytes).toBeLessThan(before.compressedFromBytes);
  expect(pair.differences()).toEqual([]);
});

test('what has not changed is left out of more pages than those whose lines are remembered', async () => {
  for (let page = 0; page < PAGES; page++) fill(page, 200 + page);
  await pair.send();
  const before = { ...pair.counts };
  const { bytes } = await pair.send();
  expect(pair.counts.unchangedPages - before.unchangedPages).toBe(PAGES);
  expect(bytes).toBe(0);
});

test('a page that becomes zero and then what it was before is sent again', async () => {
  for (const seed of [5, 0, 5]) {
    fill(3, seed);
    await pair.send();
  }
  expect(pair.differences()).toEqual([]);
});

test('a page that was sent around the steps is not compared with what was before', async () => {
  for (const [link, seed] of [
    [SLOW, 5],
    [FAST, 6],
    [SLOW, 5],
  ] as const) {
    pair.link = link;
    fill(3, seed);
    await pair.send();
  }
  expect(pair.differences()).toEqual([]);
});

test('whatever is written, in whatever pieces and how fast it is sent, arrives', async () => {
  const write = fc.record({
    page: fc.nat(PAGES - 1),
    how: fc.constantFrom('zero', 'one', 'two', 'byte'),
    at: fc.nat(PAGE_SIZE - 1),
  });
  const step = fc.record({
    writes: fc.array(write, { maxLength: 20 }),
    first: fc.nat(PAGES - 1),
    isFast: fc.boolean(),
    inOrder: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 10 }), async (steps) => {
      for (const { writes, first, isFast, inOrder } of steps) {
        for (const { page, how, at } of writes) {
          if (how === 'byte') change(page, at);
          else fill(page, how === 'zero' ? 0 : how === 'one' ? 1 : 2);
        }
        pair.link = isFast ? FAST : SLOW;
        await pair.send([{ first, count: PAGES - first }], { inOrder });
      }
      pair.link = SLOW;
      await pair.send();
      expect(pair.differences()).toEqual([]);
    }),
    { numRuns: 40 },
  );
});

test('what is sent in order arrives in order, though nobody waits for it and one connection is late', async () => {
  const blocks = [0, 1, 2, 3].map((block) => ({
    first: block * PAGES_OF_ONE_CHANNEL,
    count: PAGES_OF_ONE_CHANNEL,
  }));
  await using wide = await ChannelPair.open({ channels: 2, regions: [4 * PAGES_OF_ONE_CHANNEL] });
  const late = await HeldSockets.open();
  wide.connect([await SocketPair.open(), late]);
  const sendInOrder = (runs: readonly PageRun[], seed: number) => {
    for (const { first, count } of runs) {
      const contents = Buffer.concat(Array.from({ length: count }, (_, i) => pageOf(1 + ((seed + i) % 7))));
      wide.source.memory.writePages({ first, count }, contents);
    }
    return wide.sender.send(runs, { signal: new AbortController().signal, inOrder: true });
  };
  for (let seed = 0; seed < 12; seed++) {
    late.hold();
    await sendInOrder(wide.all, seed);
    // Only what the late connection has, so that the other one is free for it.
    await sendInOrder([blocks[1]!, blocks[3]!], seed + 3);
    late.letGo();
    await wide.arrivals.reached(wide.channels.frames);
    expect(wide.differences()).toEqual([]);
  }
  expect(wide.failures).toEqual([]);
});

test('pages that the destination holds are named, those that it only says it holds come after all', async () => {
  using _ = await hold([pageOf(1), pageOf(2)], [pageOf(3)]);
  const before = { ...pair.counts };
  for (const [page, seed] of [2, 1, 3, 4].entries()) fill(page, seed);
  // New to the steps: what was sent of these pages before would be compared first.
  pair.sender.miss([{ first: 0, count: 4 }]);
  expect(await pair.sendNaming([{ first: 0, count: 4 }])).toEqual([{ first: 2, count: 1 }]);
  expect(pair.counts.duplicatePages - before.duplicatePages).toBe(2);
  expect(pair.arrivals.missedPages).toBe(0);
  expect(pair.differences()).toEqual([]);
});

test('a page that was missed is not what the next one is compared with', async () => {
  using _ = await hold([], [pageOf(3)]);
  fill(2, 5);
  await pair.send();
  fill(2, 3);
  await pair.sendNaming([{ first: 2, count: 1 }]);
  change(2, 7);
  await pair.send();
  expect(pair.differences()).toEqual([]);
});

test('whatever is written, held, spoiled or only said to be held, arrives', async () => {
  const seed = fc.integer({ min: 0, max: 6 });
  const step = fc.record({
    writes: fc.array(fc.record({ page: fc.nat(PAGES - 1), seed, byte: fc.boolean() }), { maxLength: 20 }),
    first: fc.nat(PAGES - 1),
    how: fc.constantFrom('names', 'whole', 'fast'),
    spoils: fc.array(fc.nat(3), { maxLength: 2 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 10 }), async (steps) => {
      using image = await hold([1, 2, 3, 4].map(pageOf), [pageOf(5)]);
      for (const { writes, first, how, spoils } of steps) {
        for (const { page, seed: content, byte } of writes) {
          if (byte) change(page, content);
          else fill(page, content);
        }
        for (const number of spoils) image.write(number, pageOf(90 + number));
        pair.link = how === 'fast' ? FAST : SLOW;
        const runs = [{ first, count: PAGES - first }];
        if (how === 'names') await pair.sendNaming(runs);
        else await pair.send(runs);
      }
      pair.link = SLOW;
      await pair.send();
      expect(pair.differences()).toEqual([]);
    }),
    { numRuns: 40 },
  );
});

test('whatever its threads are at when it ends, the process lives, and they leave no memory behind', async () => {
  const module = new URL('../../test/support/ending-sender.ts', import.meta.url);
  const endOnce = async (workerData: 'loading' | 'packing') => {
    const owner = new Worker(module, { workerData });
    const heard: string[] = [];
    owner.on('message', (word: string) => heard.push(word));
    await once(owner, 'exit');
    expect(heard).toEqual([workerData]);
  };
  for (let i = 0; i < 2; i++) await endOnce('packing');
  const before = process.memoryUsage.rss();
  for (let i = 0; i < ENDINGS; i++) {
    await endOnce('packing');
    await endOnce('loading');
  }
  expect(process.memoryUsage.rss() - before).toBeLessThan(64 * 2 ** 20);
});
