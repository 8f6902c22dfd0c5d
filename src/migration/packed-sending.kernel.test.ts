// The sender with its packing threads against the receiver, with nothing but frames between them.
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SinkConnection } from '../../test/support/sink-connection.ts';
import { PACKING_STEPS } from '../base/packing-step.ts';
import { PAGE_SIZE, type PageRun } from '../base/page.ts';
import { ContentIndexBuilder } from '../memory/content-index.ts';
import { ContentStore } from '../memory/content-store.ts';
import { PageFingerprint } from '../memory/page-fingerprint.ts';
import { Pacer } from '../transfer/pacer.ts';
import type { Conditions } from '../transfer/pack-ladder.ts';
import { PackThreads } from '../transfer/pack-threads.ts';
import { NOTHING_PACKED, Packing } from '../transfer/packing.ts';
import { createSentLines } from '../transfer/sent-lines.ts';
import { FrameDecoder } from '../wire/decoder.ts';
import { frameName } from '../wire/frame-types.ts';
import { encodePackedPagesHeader } from '../wire/packed-pages.ts';
import { DestinationReceiver, type ReceivingGuest } from './destination-receiver.ts';
import type { BinaryName } from './frame-router.ts';
import { PageSender } from './page-sender.ts';

const PAGES = 24;
const KEY = new Uint8Array(32).fill(4);
const ALL: PageRun[] = [{ first: 0, count: PAGES }];
// So slow that packing pays on the busiest machine.
const SLOW: Conditions = { bytesPerSecond: 1e6, isIdle: false, cpus: 2, nowMs: 0 };
const FAST: Conditions = { bytesPerSecond: 5e9, isIdle: false, cpus: 2, nowMs: 0 };

/** Frames go to the receiver as they come. */
class ReceiverConnection extends SinkConnection {
  readonly #decoder = new FrameDecoder('source', 'seen');
  readonly #receiver: DestinationReceiver;

  constructor(receiver: DestinationReceiver) {
    super();
    this.#receiver = receiver;
  }

  override async send(...parts: readonly Uint8Array[]): Promise<void> {
    await super.send(...parts);
    for (const part of parts) {
      this.#decoder.push(part);
      for (let step = this.#decoder.next(); step.kind === 'frame'; step = this.#decoder.next()) {
        this.#receiver.take(frameName(step.type) as BinaryName, step.payload);
      }
    }
  }
}

function memoryOf(bytes: Uint8Array) {
  const at = ({ first, count }: PageRun) => bytes.subarray(first * PAGE_SIZE, (first + count) * PAGE_SIZE);
  return {
    layout: { pageCount: PAGES },
    readPages: (run: PageRun, into: Uint8Array) => into.set(at(run)),
    writePages: (run: PageRun, from: Uint8Array) => at(run).set(from),
    forget: (runs: readonly PageRun[]) => {
      for (const run of runs) at(run).fill(0);
    },
  };
}

function pageOf(seed: number): Uint8Array {
  return Uint8Array.from({ length: PAGE_SIZE }, (_, i) =>
    seed === 0 ? 0 : (Math.imul(i + 1, seed * 7919) >>> 9) & 0xff,
  );
}

class Pair {
  readonly source = new Uint8Array(PAGES * PAGE_SIZE);
  readonly destination = new Uint8Array(PAGES * PAGE_SIZE);
  readonly counts = { ...NOTHING_PACKED };
  link = SLOW;
  readonly #threads: PackThreads;
  readonly #receiver: DestinationReceiver;
  readonly #sender: PageSender;

  constructor(threads: PackThreads) {
    this.#threads = threads;
    const memory = memoryOf(this.destination);
    const receiver = new DestinationReceiver({
      verify: null,
      onPages: () => undefined,
      onProgress: () => undefined,
      onMissing: () => undefined,
      openPager: () => expect.unreachable(),
    });
    receiver.open({ memory, forget: memory.forget, record: { consoleLogPath: null } } as unknown as ReceivingGuest);
    const packing = new Packing(threads, {
      conditions: () => this.link,
      codecs: ['zstd', 'lz4'],
      steps: new Set(PACKING_STEPS),
      parallel: 2,
      densestLevel: 9,
      counts: this.counts,
    });
    this.#receiver = receiver;
    // Of a migration before this one nothing may be known.
    packing.forget(ALL);
    this.#sender = new PageSender(
      memoryOf(this.source) as never,
      new ReceiverConnection(receiver),
      new Pacer(0),
      packing,
    );
  }

  async send(runs: readonly PageRun[] = ALL): Promise<void> {
    await this.#sender.send(runs, { signal: new AbortController().signal });
  }

  /** A round: pages may be named, and come after all if they are not there. Returns those. */
  async sendNaming(runs: readonly PageRun[] = ALL): Promise<readonly PageRun[]> {
    const { signal } = new AbortController();
    await this.#sender.send(runs, { signal, mayName: true });
    const missed = this.#receiver.takeMissed();
    if (missed.length > 0) this.#sender.miss(missed);
    await this.#sender.send(missed, { signal });
    return missed;
  }

  /** From now on the destination holds these pages and says so; and says so of some others. */
  async hold(image: readonly Uint8Array[], lies: readonly Uint8Array[]): Promise<void> {
    const fingerprint = new PageFingerprint(KEY);
    const index = new ContentIndexBuilder(image.length);
    for (const [number, page] of image.entries()) index.add(number, fingerprint.of(page, 0));
    const read = (number: number, into: Uint8Array) => {
      into.set(image[number]!);
      return true;
    };
    const held = { index: index.finish(), image: { read, [Symbol.dispose]: () => undefined } };
    const store = await ContentStore.of(fingerprint, [held]);
    for (const page of lies) store.filter.add(fingerprint.of(page, 0));
    this.#receiver.hold(store);
    const { bytes } = store.filter;
    const filter = new Uint8Array(new SharedArrayBuffer(bytes.length));
    filter.set(bytes);
    this.#threads.learn({ filter, key: KEY });
  }

  page(number: number): Uint8Array {
    return this.source.subarray(number * PAGE_SIZE, (number + 1) * PAGE_SIZE);
  }

  /** The same contents each time that it is filled with the same. */
  fill(number: number, seed: number): void {
    this.page(number).set(pageOf(seed));
  }

  get isEqual(): boolean {
    return Buffer.compare(this.source, this.destination) === 0;
  }
}

let threads: PackThreads;
let pair: Pair;

const newPair = async (): Promise<Pair> => {
  const made = new Pair(threads);
  // Past the batches that go raw to see what the link can take.
  for (let i = 0; i < 5; i++) {
    made.fill(0, i + 1);
    await made.send([{ first: 0, count: 1 }]);
  }
  return made;
};

beforeEach(async () => {
  // Fewer entries than pages: some share one.
  threads = new PackThreads(2, 4, createSentLines(PAGES, 10 * 516));
  pair = await newPair();
});
afterEach(() => threads[Symbol.dispose]());

test('a page that becomes zero and then what it was before is sent again', async () => {
  pair.fill(3, 5);
  await pair.send();
  pair.fill(3, 0);
  await pair.send();
  pair.fill(3, 5);
  await pair.send();
  expect(pair.isEqual).toBe(true);
});

test('a page that was sent around the steps is not compared with what was before', async () => {
  pair.fill(3, 5);
  await pair.send();
  pair.link = FAST;
  pair.fill(3, 6);
  await pair.send();
  pair.link = SLOW;
  pair.fill(3, 5);
  await pair.send();
  expect(pair.isEqual).toBe(true);
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
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 10 }), async (steps) => {
      const trial = await newPair();
      for (const { writes, first, isFast } of steps) {
        for (const { page, how, at } of writes) {
          if (how === 'byte') trial.page(page)[at]! ^= 1;
          else trial.fill(page, how === 'zero' ? 0 : how === 'one' ? 1 : 2);
        }
        trial.link = isFast ? FAST : SLOW;
        await trial.send([{ first, count: PAGES - first }]);
      }
      trial.link = SLOW;
      await trial.send();
      expect(trial.isEqual).toBe(true);
    }),
    { numRuns: 60 },
  );
});

test('pages that the destination holds are named, those that it only says it holds come after all', async () => {
  await pair.hold([pageOf(1), pageOf(2)], [pageOf(3)]);
  for (const [page, seed] of [2, 1, 3, 4].entries()) pair.fill(page, seed);
  expect(await pair.sendNaming([{ first: 0, count: 4 }])).toEqual([{ first: 2, count: 1 }]);
  expect(pair.counts).toMatchObject({ duplicatePages: 2, missedReferences: 1 });
  expect(pair.isEqual).toBe(true);
});

test('a page that was missed is not what the next one is compared with', async () => {
  await pair.hold([], [pageOf(3)]);
  pair.fill(2, 5);
  await pair.send();
  pair.fill(2, 3);
  await pair.sendNaming([{ first: 2, count: 1 }]);
  pair.page(2)[7]! ^= 1;
  await pair.send();
  expect(pair.isEqual).toBe(true);
});

test('a page that was named and never came is told at the end', async () => {
  const receiver = new DestinationReceiver({
    verify: null,
    onPages: () => undefined,
    onProgress: () => undefined,
    onMissing: () => undefined,
    openPager: () => expect.unreachable(),
  });
  const memory = memoryOf(new Uint8Array(PAGES * PAGE_SIZE));
  receiver.open({ memory, forget: memory.forget, record: { consoleLogPath: null } } as unknown as ReceivingGuest);
  const runs = [{ first: 1, count: 1, kind: 'held' }] as const;
  const header = encodePackedPagesHeader({ codec: 'none', runs, bodyBytes: 16, digests: undefined }, 16);
  const payload = new Uint8Array(Buffer.concat([header.subarray(8), new Uint8Array(16)]));
  expect(() => receiver.take('packedPages', payload)).toThrow('where nothing is held');
  receiver.hold({ fetch: () => false });
  receiver.take('packedPages', payload);
  const end = { bytes: 0, stoppedAtMs: 1, clockOffsetMs: 0, clockUncertaintyMs: 0, lastPages: 0, missingPages: 0 };
  receiver.takeStateEnd({ kind: 'stateEnd', ...end, digest: null });
  await expect(receiver.takeWholeState(false)).rejects.toThrow('1 pages were named that are not here');
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
      const trial = await newPair();
      const image = [1, 2, 3, 4].map(pageOf);
      await trial.hold(image, [pageOf(5)]);
      for (const { writes, first, how, spoils } of steps) {
        for (const { page, seed: content, byte } of writes) {
          if (byte) trial.page(page)[content]! ^= 1;
          else trial.fill(page, content);
        }
        for (const number of spoils) image[number]![0]! ^= 1;
        trial.link = how === 'fast' ? FAST : SLOW;
        const runs = [{ first, count: PAGES - first }];
        if (how === 'names') await trial.sendNaming(runs);
        else await trial.send(runs);
      }
      trial.link = SLOW;
      await trial.send();
      expect(trial.isEqual).toBe(true);
    }),
    { numRuns: 60 },
  );
});
