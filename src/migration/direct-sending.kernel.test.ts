// Pages that the kernel takes out of the RAM file by itself, over a real socket.
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ScratchMemory } from '../../test/support/scratch-memory.ts';
import { SocketPair } from '../../test/support/socket-pair.ts';
import { hasCode } from '../base/errors.ts';
import { PAGE_SIZE, type PageRun } from '../base/page.ts';
import { Pacer } from '../transfer/pacer.ts';
import { StreamConnection } from '../transfer/stream-connection.ts';
import { frameName } from '../wire/frame-types.ts';
import { DestinationReceiver, type ReceivingGuest } from './destination-receiver.ts';
import type { BinaryName } from './frame-router.ts';
import { PageSender } from './page-sender.ts';

/** Two regions, so that a run goes through both; far more than a socket takes at once. */
const REGION_PAGES = 5000;
const PAGES = 2 * REGION_PAGES;
const ALL: PageRun[] = [{ first: 0, count: PAGES }];

/** A source and a destination with a socket between them. The destination reads when it is told to. */
class Pair implements AsyncDisposable {
  readonly source = new ScratchMemory(REGION_PAGES, REGION_PAGES);
  readonly destination = new ScratchMemory(REGION_PAGES, REGION_PAGES);
  readonly sender: PageSender;
  readonly near: StreamConnection;
  readonly far: StreamConnection;
  /** Where data is read into staging on its way. */
  stagedPages = 0;

  private constructor(sockets: SocketPair) {
    const options = { peer: 'other', preface: 'seen' } as const;
    this.near = StreamConnection.fromFd(sockets.take('near'), { ...options, peerRole: 'destination' });
    this.far = StreamConnection.fromFd(sockets.take('far'), { ...options, peerRole: 'source' });
    const { memory } = this.source;
    const readPages = memory.readPages.bind(memory);
    memory.readPages = (run, into) => {
      this.stagedPages += run.count;
      readPages(run, into);
    };
    this.sender = new PageSender(memory, this.near, new Pacer(0));
  }

  static async open(): Promise<Pair> {
    using sockets = await SocketPair.open();
    return new Pair(sockets);
  }

  receive(): void {
    const receiver = new DestinationReceiver({
      verify: null,
      onPages: () => undefined,
      onProgress: () => undefined,
      onMissing: () => undefined,
      openPager: () => expect.unreachable(),
    });
    const { memory } = this.destination;
    const forget = (runs: readonly PageRun[]) => runs.forEach((run) => void memory.punch(run));
    receiver.open({ memory, forget, record: { consoleLogPath: null } } as unknown as ReceivingGuest);
    this.far.receive(({ type, payload }) => receiver.take(frameName(type) as BinaryName, payload));
  }

  async send(runs: readonly PageRun[]): Promise<number> {
    const counts = await this.sender.send(runs, { signal: new AbortController().signal });
    await expect.poll(() => this.far.bytesReceived, { timeout: 10_000 }).toBe(this.near.bytesSent);
    return counts.bytes;
  }

  get isEqual(): boolean {
    const [a, b] = [this.source, this.destination].map(({ memory }) => {
      const bytes = new Uint8Array(PAGES * PAGE_SIZE);
      memory.readPages(ALL[0]!, bytes);
      return bytes;
    }) as [Uint8Array, Uint8Array];
    return Buffer.compare(a, b) === 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.near.destroy();
    this.far.destroy();
    this.source[Symbol.dispose]();
    this.destination[Symbol.dispose]();
  }
}

function fill({ memory }: ScratchMemory, run: PageRun, seed: number): void {
  const bytes = new Uint8Array(run.count * PAGE_SIZE);
  const words = new Uint32Array(bytes.buffer);
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i + seed, 0x9e3779b1) | 1;
  memory.writePages(run, bytes);
}

test('nothing is read by the sender that the kernel takes at once, and what it does not take arrives too', async () => {
  await using pair = await Pair.open();
  fill(pair.source, ALL[0]!, 1);
  const sent = pair.send(ALL);
  // The kernel has no room for 40 MB: what it had no room for waits as other bytes do.
  await expect.poll(() => pair.near.queuedBytes).toBeGreaterThan(0);
  pair.receive();
  expect(await sent).toBe(pair.near.bytesSent);
  expect(pair.sender.totals).toEqual({ pages: PAGES, zeroPages: 0, resentPages: 0 });
  expect(pair.stagedPages).toBeGreaterThan(0);
  expect(pair.stagedPages).toBeLessThan(PAGES / 2);
  expect(pair.isEqual).toBe(true);
});

test('zero pages are not sent where they come in crowds', async () => {
  await using pair = await Pair.open();
  pair.receive();
  fill(pair.source, { first: 1024, count: 512 }, 1);
  await pair.send(ALL);
  expect(pair.isEqual).toBe(true);
  expect(pair.sender.totals).toMatchObject({ pages: 512, zeroPages: PAGES - 512 });
});

test('any runs, in any order, arrive as they are', async () => {
  const step = fc.record({ first: fc.nat(PAGES - 1), count: fc.integer({ min: 1, max: 700 }), seed: fc.nat(1000) });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
      await using pair = await Pair.open();
      pair.receive();
      for (const { first, count, seed } of steps) {
        const run = { first, count: Math.min(count, PAGES - first) };
        fill(pair.source, run, seed);
        await pair.send([run]);
      }
      expect(pair.isEqual).toBe(true);
    }),
    { numRuns: 15 },
  );
});

test('a peer that is gone fails the sending, with the reason', async () => {
  await using pair = await Pair.open();
  fill(pair.source, ALL[0]!, 1);
  const sent = pair.send(ALL);
  await expect.poll(() => pair.near.queuedBytes).toBeGreaterThan(0);
  pair.far.destroy();
  await expect(sent).rejects.toSatisfy((error: unknown) => hasCode(error, 'GW_WIRE_CLOSED'));
});
