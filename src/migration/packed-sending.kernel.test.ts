// The sender with its packing threads against the receiver, with nothing but frames between them.
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SinkConnection } from '../../test/support/sink-connection.ts';
import { PACKING_STEPS } from '../base/packing-step.ts';
import { PAGE_SIZE, type PageRun } from '../base/page.ts';
import { Pacer } from '../transfer/pacer.ts';
import type { Conditions } from '../transfer/pack-ladder.ts';
import { PackThreads } from '../transfer/pack-threads.ts';
import { NOTHING_PACKED, Packing } from '../transfer/packing.ts';
import { createSentLines } from '../transfer/sent-lines.ts';
import { FrameDecoder } from '../wire/decoder.ts';
import { frameName } from '../wire/frame-types.ts';
import { DestinationReceiver, type ReceivingGuest } from './destination-receiver.ts';
import type { BinaryName } from './frame-router.ts';
import { PageSender } from './page-sender.ts';

const PAGES = 24;
const ALL: PageRun[] = [{ first: 0, count: PAGES }];
const SLOW: Conditions = { bytesPerSecond: 20e6, isIdle: false, cpus: 2, nowMs: 0 };
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

class Pair {
  readonly source = new Uint8Array(PAGES * PAGE_SIZE);
  readonly destination = new Uint8Array(PAGES * PAGE_SIZE);
  readonly counts = { ...NOTHING_PACKED };
  link = SLOW;
  readonly #sender: PageSender;

  constructor(threads: PackThreads) {
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

  page(number: number): Uint8Array {
    return this.source.subarray(number * PAGE_SIZE, (number + 1) * PAGE_SIZE);
  }

  /** The same contents each time that it is filled with the same. */
  fill(number: number, seed: number): void {
    const page = this.page(number);
    for (let i = 0; i < PAGE_SIZE; i++) page[i] = seed === 0 ? 0 : (Math.imul(i + 1, seed * 7919) >>> 9) & 0xff;
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
