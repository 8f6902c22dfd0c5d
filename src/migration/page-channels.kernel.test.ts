// Page channels with their threads at both ends: pages that go as they are, connections that break, threads that die.
import { readlinkSync, truncateSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ChannelPair } from '../../test/support/channel-pair.ts';
import { times } from '../../test/support/further-cases.ts';
import { describePageCarrier } from '../../test/support/page-carrier-contract.ts';
import { SocketPair } from '../../test/support/socket-pair.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import { hasCode } from '../base/errors.ts';
import { PAGE_SIZE, type PageRun } from '../base/page.ts';
import { createMissingPages } from '../memory/page-installer.ts';
import { Pacer } from '../transfer/pacer.ts';
import { encodePagesHeader } from '../wire/encoder.ts';
import { PageChannels } from './page-channels.ts';
import { PageSender } from './page-sender.ts';

/** Two regions, so that a run goes through both; far more than sockets take at once. */
const RUNS = times(8, 15);
const REGION_PAGES = 5000;
const PAGES = 2 * REGION_PAGES;
/** Threads that have just been started are slow on a busy machine. */
const PATIENT = { timeout: 10_000 } as const;
const RAW = { regions: [REGION_PAGES, REGION_PAGES], isRaw: true } as const;

/** What a descriptor is, unlike any other; a number that was closed may at once be another file's. */
function fileAt(fd: number): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`);
  } catch {
    return 'closed';
  }
}

function fill(pair: ChannelPair, run: PageRun, seed: number): void {
  const bytes = new Uint8Array(run.count * PAGE_SIZE);
  const words = new Uint32Array(bytes.buffer);
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i + seed, 0x9e3779b1) | 1;
  pair.source.memory.writePages(run, bytes);
}

describePageCarrier('channels with threads', async (channels, look) => {
  await using pair = await ChannelPair.open({ ...RAW, regions: [64], channels });
  look(pair.channels);
});

test.each([1, 2, 4])('everything arrives over %i channels, and each takes its part', async (channels) => {
  await using pair = await ChannelPair.open({ ...RAW, channels });
  fill(pair, pair.all[0]!, 1);
  const { bytes } = await pair.send();
  expect(pair.differences()).toEqual([]);
  expect(pair.sender.totals).toEqual({ pages: PAGES, zeroPages: 0, resentPages: 0, leftOutPages: 0 });
  expect([pair.channels.bytesSent, pair.arrivals.bytes]).toEqual([bytes, bytes]);
  expect(pair.arrivals.receivedPages).toBe(PAGES);
  expect(pair.channels.unacknowledgedBytes).toBe(0);
});

test('a frame that fails in its middle is the last of its connection: nothing else gets into its pages', async () => {
  await using pair = await ChannelPair.open({ ...RAW, regions: [256, 512], channels: 1 });
  fill(pair, pair.all[0]!, 1);
  // The thread has the file open.
  await pair.send([{ first: 256, count: 1 }]);
  truncateSync(pair.source.memory.ownPaths()[0]!, 255 * PAGE_SIZE);
  await expect(pair.send()).rejects.toThrow();
  await waitUntil('the destination has heard of it', () => pair.failures.length > 1);
  const last = new Uint8Array(PAGE_SIZE);
  pair.destination.memory.readPages({ first: 255, count: 1 }, last);
  expect(last.every((byte) => byte === 0)).toBe(true);
});

test('zero pages are not sent where they come in crowds, and told where there was something', async () => {
  await using pair = await ChannelPair.open({ ...RAW, channels: 2 });
  fill(pair, { first: 1024, count: 512 }, 1);
  await pair.send();
  expect(pair.sender.totals).toMatchObject({ pages: 512, zeroPages: PAGES - 512 });
  pair.source.memory.punch({ first: 1100, count: 300 });
  await pair.send();
  expect(pair.differences()).toEqual([]);
  expect(pair.destination.residentPages()).toBe(512 - 300);
});

test('any runs, in any order, arrive as they are, with digests and without', async () => {
  await using pair = await ChannelPair.open({ ...RAW, channels: 3 });
  const step = fc.record({
    first: fc.nat(PAGES - 1),
    count: fc.integer({ min: 1, max: 700 }),
    seed: fc.nat(1000),
    hasDigest: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
      for (const { first, count, seed, hasDigest } of steps) {
        const run = { first, count: Math.min(count, PAGES - first) };
        fill(pair, run, seed);
        await pair.send([run], { digest: hasDigest ? 'xxh3-128' : null });
      }
      expect(pair.differences()).toEqual([]);
    }),
    { numRuns: RUNS },
  );
});

test('a peer that is gone fails the sending, with the reason, and is told once', async () => {
  await using pair = await ChannelPair.open({ ...RAW, channels: 2 });
  fill(pair, pair.all[0]!, 1);
  const silent = [await SocketPair.open(), await SocketPair.open()];
  pair.channels.link(silent.map((socket) => socket.take('near')));
  const sent = pair.send();
  // Nobody reads there, so that the threads wait for room.
  await expect.poll(() => pair.channels.unacknowledgedBytes, PATIENT).toBeGreaterThan(2 ** 18);
  silent[1]!.far.resetAndDestroy();
  await expect(sent).rejects.toSatisfy((error: unknown) => hasCode(error, 'GW_WIRE_CLOSED'));
  expect(pair.losses.map(({ code }) => code)).toEqual(['GW_WIRE_CLOSED']);
  await expect(pair.send()).rejects.toSatisfy((error: unknown) => hasCode(error, 'GW_WIRE_CLOSED'));
  for (const socket of silent) socket[Symbol.dispose]();
});

test('cut while its threads wait for room it ends at once, and new connections carry on', async () => {
  await using pair = await ChannelPair.open({ ...RAW, channels: 2 });
  fill(pair, pair.all[0]!, 1);
  const silent = [await SocketPair.open(), await SocketPair.open()];
  pair.channels.link(silent.map((socket) => socket.take('near')));
  const sent = pair.send();
  await expect.poll(() => pair.channels.unacknowledgedBytes, PATIENT).toBeGreaterThan(2 ** 18);
  pair.channels.cut();
  await expect(sent).rejects.toSatisfy((error: unknown) => hasCode(error, 'GW_WIRE_CLOSED'));
  for (const socket of silent) socket[Symbol.dispose]();
  pair.connect(await Promise.all([SocketPair.open(), SocketPair.open()]));
  await pair.sender.send(pair.all, { signal: new AbortController().signal });
  await expect.poll(() => pair.differences(), PATIENT).toEqual([]);
  expect(pair.failures).toEqual([]);
});

test('a connection in the middle of a frame is replaced: the frame counts for nothing', async () => {
  await using pair = await ChannelPair.open({ ...RAW, channels: 1 });
  const half = await SocketPair.open();
  pair.arrivals.replace();
  pair.arrivals.add(half.take('far'));
  half.near.write(encodePagesHeader([{ first: 0, count: 100 }]));
  half.near.write(Buffer.alloc(50 * PAGE_SIZE, 7));
  await expect.poll(() => pair.destination.residentPages(), PATIENT).toBe(50);
  pair.connect([await SocketPair.open()]);
  fill(pair, pair.all[0]!, 3);
  await pair.send();
  expect(pair.differences()).toEqual([]);
  expect(pair.failures).toEqual([]);
  half[Symbol.dispose]();
});

test.each([
  ['a frame that is none', Buffer.from([1, 0, 0, 0, 0xee, 0, 0, 0, 0]), 'GW_WIRE_FRAME_UNKNOWN'],
  ['pages that the VM has not', Buffer.from(encodePagesHeader([{ first: PAGES, count: 1 }])), 'GW_WIRE_FRAME_INVALID'],
  ['more runs than fit', Buffer.from([16, 16, 0, 0, 64, 0, 0, 0, 255, 255, 255, 255]), 'GW_WIRE_FRAME_INVALID'],
  ['words for the main connection', Buffer.from([2, 0, 0, 0, 21, 0, 0, 0, 0x7b, 0x7d]), 'GW_WIRE_FRAME_INVALID'],
])('%s ends the channel, and nothing is written', async (_, bytes, code) => {
  await using pair = await ChannelPair.open({ ...RAW, channels: 1 });
  const liar = await SocketPair.open();
  pair.arrivals.replace();
  pair.arrivals.add(liar.take('far'));
  liar.near.write(bytes);
  await expect.poll(() => pair.failures.map((error) => error.code), PATIENT).toEqual([code]);
  expect(pair.destination.residentPages()).toBe(0);
  liar[Symbol.dispose]();
});

test('frames wait for their turn under a bandwidth limit', async () => {
  await using pair = await ChannelPair.open({ ...RAW, channels: 2 });
  fill(pair, { first: 0, count: 1024 }, 1);
  pair.pacer.setLimit(16 * 2 ** 20);
  const startedMs = performance.now();
  await pair.send([{ first: 0, count: 1024 }]);
  expect(performance.now() - startedMs).toBeGreaterThan(200);
  expect(pair.differences()).toEqual([]);
});

test('threads that die are told, and nothing waits for them', async () => {
  await using pair = await ChannelPair.open({ ...RAW, channels: 2 });
  fill(pair, pair.all[0]!, 1);
  const { memory } = pair.source;
  const paths = memory.ownPaths().map((path) => `${path}/none`);
  const lost: string[] = [];
  using channels = new PageChannels({
    memory: { layout: memory.layout, ownPaths: () => paths },
    count: 2,
    sent: null,
    peer: 'far',
    tls: null,
    onLost: ({ code }) => lost.push(code),
    note: () => undefined,
  });
  const sockets = await Promise.all([SocketPair.open(), SocketPair.open()]);
  channels.link(sockets.map((socket) => socket.take('near')));
  const { signal } = new AbortController();
  await expect(new PageSender(channels, new Pacer(0)).send(pair.all, { signal })).rejects.toThrow();
  expect(lost).toEqual(['GW_INTERNAL']);
  for (const socket of sockets) socket[Symbol.dispose]();
});

test('an idle channel that is ended by somebody in between is told: frames sent into it are lost', async () => {
  await using pair = await ChannelPair.open({ ...RAW, channels: 2 });
  const sockets = [await SocketPair.open(), await SocketPair.open()];
  pair.arrivals.replace();
  for (const socket of sockets) pair.arrivals.add(socket.take('far'));
  pair.channels.link(sockets.map((socket) => socket.take('near')));
  sockets[1]!.near.end();
  await expect.poll(() => pair.failures.map(({ code }) => code), PATIENT).toEqual(['GW_WIRE_CLOSED']);
  for (const socket of sockets) socket[Symbol.dispose]();
});

test('an order that fails in the middle of a frame leaves those behind it to be obeyed', async () => {
  const pair = await ChannelPair.open({ ...RAW, channels: 1 });
  const half = await SocketPair.open();
  pair.arrivals.replace();
  pair.arrivals.add(half.take('far'));
  half.near.write(encodePagesHeader([{ first: 0, count: 100 }]));
  half.near.write(Buffer.alloc(50 * PAGE_SIZE, 7));
  await expect.poll(() => pair.destination.residentPages(), PATIENT).toBe(50);
  const pages = createMissingPages(PAGES);
  // No such process: its userfaultfd cannot be had.
  pair.arrivals.page({ pid: 2 ** 22, insideFd: 3, starts: [0n, 0n], pages });
  await pair[Symbol.asyncDispose]();
  half[Symbol.dispose]();
});

test('what comes after all of the memory is in place is refused', async () => {
  await using pair = await ChannelPair.open({ ...RAW, channels: 1 });
  fill(pair, { first: 0, count: 10 }, 1);
  await pair.send();
  pair.arrivals.seal();
  fill(pair, { first: 0, count: 10 }, 2);
  await pair.sender.send([{ first: 0, count: 10 }], { signal: new AbortController().signal });
  await expect.poll(() => pair.failures.map(({ code }) => code), PATIENT).toEqual(['GW_WIRE_FRAME_INVALID']);
  expect(pair.differences()).toHaveLength(10);
});

test('connections for channels or threads that have ended are closed', async () => {
  const pair = await ChannelPair.open({ ...RAW, channels: 1 });
  const { channels, arrivals } = pair;
  await pair[Symbol.asyncDispose]();
  const sockets = await SocketPair.open();
  const fds = [sockets.take('near'), sockets.take('far')] as const;
  const open = fds.map((fd) => ({ fd, file: fileAt(fd) }));
  channels.link([fds[0]]);
  expect(() => arrivals.add(fds[1])).toThrow(/no more pages can come/);
  for (const { fd, file } of open) expect(fileAt(fd)).not.toBe(file);
  sockets[Symbol.dispose]();
});

test('where one connection cannot be taken those behind it are closed', async () => {
  await using pair = await ChannelPair.open({ ...RAW, channels: 3 });
  using before = await SocketPair.open();
  using behind = await SocketPair.open();
  const nobodys = 2 ** 20 + 1;
  const last = behind.take('near');
  const file = fileAt(last);
  expect(file).toMatch(/^socket:/);
  expect(() => pair.channels.link([before.take('near'), nobodys, last])).toThrow('EBADF');
  expect(fileAt(last)).not.toBe(file);
  expect(pair.channels.openCount).toBe(0);
});
