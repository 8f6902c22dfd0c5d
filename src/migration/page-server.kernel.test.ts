import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ScratchMemory } from '../../test/support/scratch-memory.ts';
import { SocketPair } from '../../test/support/socket-pair.ts';
import { waitUntil, within } from '../../test/support/wait-until.ts';
import { PageBitmap } from '../base/page-bitmap.ts';
import { EventFd } from '../linux/poll.ts';
import { HostBudget } from '../transfer/host-budget.ts';
import { FrameDecoder } from '../wire/decoder.ts';
import { encodePageRequest } from '../wire/encoder.ts';
import { FrameType } from '../wire/frame-types.ts';
import { MAX_PAGES_PER_FRAME } from '../wire/limits.ts';
import { decodePageReply, type ReplyRun } from '../wire/page-payloads.ts';
import {
  createPageServerShared,
  faultsIn,
  type PageServerInput,
  type PageServerReport,
  REHEARSAL_SEQUENCE,
} from './page-server-words.ts';
import { workerModule } from './worker-module.ts';

const PAGES = 1024;
const WINDOW = 16;
const ALL = [{ first: 0, count: PAGES }];

let scratch: ScratchMemory;
let sockets: SocketPair;
let control: EventFd;
let owed: PageBitmap;
let budget: HostBudget;
let words: Int32Array<SharedArrayBuffer>;
let server: Worker;
/** What the server's thread tells, and what the other host hears. */
let reports: PageServerReport[];
let replies: (readonly ReplyRun[])[];
let mayAsk: PromiseWithResolvers<void>;
let ended: Promise<unknown>;

function serve(): void {
  const input: PageServerInput = {
    fd: sockets.take('near'),
    controlFd: control.fd,
    layout: scratch.memory.layout.toJSON(),
    files: scratch.memory.ownPaths(),
    owed: owed.words.buffer as SharedArrayBuffer,
    shared: words.buffer,
    verify: null,
    hostBudget: budget.buffer,
  };
  server = new Worker(workerModule('page-server'));
  server.postMessage(input);
  server.on('message', (report: PageServerReport) => reports.push(report));
  ended = new Promise((resolve) => server.once('exit', resolve));
}

function hear(): void {
  const decoder = new FrameDecoder('source', 'seen');
  sockets.far.on('data', (chunk: Buffer) => {
    decoder.push(chunk);
    for (let step = decoder.next(); step.kind === 'frame'; step = decoder.next()) {
      if (step.type === FrameType.pageReply) replies.push(decodePageReply(step.payload, PAGES).runs);
      else mayAsk.resolve();
    }
  });
  sockets.far.resume();
}

beforeEach(async () => {
  scratch = new ScratchMemory(PAGES);
  scratch.fill(0, ...Array.from({ length: PAGES }, (_, page) => 1 + (page % 255)));
  sockets = await SocketPair.open();
  control = EventFd.create();
  budget = HostBudget.create(0);
  owed = PageBitmap.shared(PAGES);
  owed.addRuns(ALL);
  words = createPageServerShared(WINDOW);
  reports = [];
  replies = [];
  mayAsk = Promise.withResolvers();
});

afterEach(async () => {
  server.postMessage('stop');
  control.signal();
  await ended;
  control[Symbol.dispose]();
  sockets[Symbol.dispose]();
  scratch[Symbol.dispose]();
});

test('the page asked for comes alone, then its neighbourhood as far as it is owed', async () => {
  owed.deleteRun(20, 4);
  hear();
  serve();
  await within('it listens', mayAsk.promise);
  sockets.far.write(encodePageRequest(1, { first: 18, count: 1 }));
  await expect.poll(() => replies.length).toBe(2);
  expect(replies).toEqual([
    [{ first: 18, count: 1, kind: 'data' }],
    [
      { first: 16, count: 2, kind: 'data' },
      { first: 19, count: 1, kind: 'data' },
      { first: 24, count: 8, kind: 'data' },
    ],
  ]);
  expect(owed.count()).toBe(PAGES - WINDOW);
});

/** In one piece, as from several vCPUs that wait at a time. */
async function askAtOnce(pages: readonly number[]): Promise<void> {
  hear();
  serve();
  await within('it listens', mayAsk.promise);
  sockets.far.write(Buffer.concat(pages.map((first, i) => encodePageRequest(i, { first, count: 1 }))));
}

test('no request waits behind the neighbourhood of another, and the newest neighbourhood goes first', async () => {
  const asked = [100, 200, 300];
  await askAtOnce(asked);
  await expect.poll(() => replies.length).toBe(6);
  expect(replies.slice(0, 3)).toEqual(asked.map((first) => [{ first, count: 1, kind: 'data' }]));
  expect(replies.slice(3).map((runs) => runs[0]?.first)).toEqual([288, 192, 96]);
});

test('of many requests at once only the last neighbourhoods are sent, the others stay owed', async () => {
  const asked = Array.from({ length: 40 }, (_, i) => i * WINDOW);
  await askAtOnce(asked);
  const neighbourhoods = (): number[] => replies.filter((runs) => runs[0]!.count > 1).map((runs) => runs[0]!.first);
  await expect.poll(neighbourhoods).toHaveLength(8);
  expect(neighbourhoods()).toContain(39 * WINDOW + 1);
  expect(owed.count()).toBe(PAGES - 40 - 8 * (WINDOW - 1));
});

test('what was asked for is told to who pushes, a rehearsal is not', async () => {
  const faults = faultsIn(words);
  hear();
  serve();
  await within('it listens', mayAsk.promise);
  sockets.far.write(encodePageRequest(1, { first: 500, count: 1 }));
  sockets.far.write(encodePageRequest(REHEARSAL_SEQUENCE, { first: 0, count: 1 }));
  sockets.far.write(encodePageRequest(2, { first: 20, count: 1 }));
  await expect.poll(() => replies.length).toBe(5);
  expect(await waitUntil('both are told', () => words[2] === 2 && faults.take())).toEqual([500, 20]);
});

test('as many pages as a frame may hold can be asked for', async () => {
  hear();
  serve();
  await within('it listens', mayAsk.promise);
  sockets.far.write(encodePageRequest(1, { first: 0, count: MAX_PAGES_PER_FRAME }));
  await expect.poll(() => replies[0]).toEqual([{ first: 0, count: MAX_PAGES_PER_FRAME, kind: 'data' }]);
});

test('answers do not wait for the limit of the host, and count in it', async () => {
  const slowest = 1000;
  budget.setLimit(slowest);
  hear();
  serve();
  await within('it listens', mayAsk.promise);
  sockets.far.write(encodePageRequest(1, { first: 0, count: 1 }));
  await within(
    'it answers at once',
    waitUntil('an answer came', () => replies.length === 2),
    1000,
  );
  expect(budget.reserve(1)).toBeGreaterThan(900);
});

test('after an answer that could not be sent it answers no more, closes and says that the link is lost', async () => {
  hear();
  serve();
  await within('it listens', mayAsk.promise);
  // Requests still come, but nothing can be sent any more.
  await new Promise<void>((resolve) => sockets.near.end(resolve));
  for (const first of [100, 200, 300]) sockets.far.write(encodePageRequest(first, { first, count: 1 }));
  await within('the page server ends', ended, 5000);
  expect(reports).toEqual([{ kind: 'ready' }, { kind: 'linkLost', reason: expect.any(String) }]);
  expect(owed.runs()).toEqual([
    { first: 0, count: 100 },
    { first: 101, count: PAGES - 101 },
  ]);
});

test('requests on a connection that is gone already take no page', async () => {
  for (const first of [100, 200, 300]) sockets.far.write(encodePageRequest(first, { first, count: 1 }));
  await new Promise<void>((resolve) => sockets.near.end(resolve));
  serve();
  await within('the page server ends', ended, 5000);
  expect(reports.map(({ kind }) => kind)).toEqual(['ready', 'linkLost']);
  expect(owed.count()).toBe(PAGES);
});
