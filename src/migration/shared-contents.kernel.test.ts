// VMs that go the same way side by side: pages of one are named for the other, with real threads and sockets, and come after
// all where they are not what they were said to be.
import { rmSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ChannelPair } from '../../test/support/channel-pair.ts';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { PAGE_SIZE, type PageRun } from '../base/page.ts';
import { SentContents } from '../transfer/sent-contents.ts';

const PAGES = 2048;
const KEY = new Uint8Array(32).fill(9);

let directory: TempDirectory;
let sentContents: SharedArrayBuffer;
let pairs: ChannelPair[];

beforeEach(async () => {
  directory = new TempDirectory();
  sentContents = SentContents.create();
  pairs = await Promise.all(
    [1, 2].map(() => ChannelPair.open({ channels: 2, regions: [PAGES / 2, PAGES / 2], sentContents })),
  );
  for (const pair of pairs) pair.share(sentContents, directory.path, KEY);
});
afterEach(async () => {
  for (const pair of pairs) await pair[Symbol.asyncDispose]();
  directory[Symbol.dispose]();
});

const ALL: PageRun = { first: 0, count: PAGES };

/** Incompressible, no page like another, shifted by so many pages. */
function fill({ source }: ChannelPair, shift = 0, run: PageRun = ALL, seed = 1): void {
  const words = new Uint32Array((run.count * PAGE_SIZE) / 4);
  const from = (((run.first + shift) % PAGES) * PAGE_SIZE) / 4;
  for (let i = 0; i < words.length; i++)
    words[i] = Math.imul(((from + i) % (PAGES * 1024)) + seed, 0x9e3779b1) ^ (i << 7);
  for (let page = 0; page < run.count; page++) words[page * 1024] = ((run.first + page + shift) % PAGES) * 7919 + seed;
  source.memory.writePages(run, new Uint8Array(words.buffer));
}

test('one after the other: the second is only named, wherever its pages are', async () => {
  const [one, two] = pairs as [ChannelPair, ChannelPair];
  fill(one);
  const contents = new Uint8Array(PAGES * PAGE_SIZE);
  one.source.memory.readPages(ALL, contents);
  two.source.memory.writePages({ first: 0, count: PAGES - 100 }, contents.subarray(100 * PAGE_SIZE));
  expect(await one.sendNaming()).toEqual([]);
  expect(await two.sendNaming()).toEqual([]);
  expect(two.counts).toMatchObject({ duplicatePages: PAGES - 100, missedReferences: 0 });
  expect(two.channels.bytesSent).toBeLessThan(PAGES * 40);
  expect([one.differences(), two.differences()]).toEqual([[], []]);
});

test('side by side: each page crosses the link about once', async () => {
  const [one, two] = pairs as [ChannelPair, ChannelPair];
  fill(one);
  fill(two);
  await Promise.all(pairs.map((pair) => pair.sendNaming()));
  expect([one.differences(), two.differences()]).toEqual([[], []]);
  const bytes = one.channels.bytesSent + two.channels.bytesSent;
  expect(bytes).toBeLessThan(PAGES * PAGE_SIZE * 1.2);
  expect(pairs.map(({ failures }) => failures)).toEqual([[], []]);
});

test('a page that has changed where it was said to be is sent', async () => {
  const [one, two] = pairs as [ChannelPair, ChannelPair];
  fill(one);
  fill(two);
  await one.sendNaming();
  // As the VM that has arrived does, or somebody who likes to.
  one.destination.fill(50, ...Array.from({ length: 300 }, () => 0xa5));
  const missed = await two.sendNaming();
  expect(missed).toEqual([{ first: 50, count: 300 }]);
  expect(two.differences()).toEqual([]);
  expect(two.counts).toMatchObject({ duplicatePages: PAGES - 300, missedReferences: 300 });
});

test('what was missed is found where it was sent then', async () => {
  const [one, two] = pairs as [ChannelPair, ChannelPair];
  fill(one);
  fill(two);
  await one.sendNaming();
  one.destination.fill(50, ...Array.from({ length: 300 }, () => 0xa5));
  await two.sendNaming();
  const three = await ChannelPair.open({ channels: 2, regions: [PAGES / 2, PAGES / 2], sentContents });
  pairs.push(three);
  three.share(sentContents, directory.path, KEY);
  fill(three);
  expect(await three.sendNaming()).toEqual([]);
  expect(three.differences()).toEqual([]);
});

test('pages that come later than they are named are waited for, and change nothing that has come since', async () => {
  const [one, two] = pairs as [ChannelPair, ChannelPair];
  fill(one);
  fill(two);
  await one.sendNaming();
  const contents = new Uint8Array(200 * PAGE_SIZE);
  const late: PageRun = { first: 1000, count: 200 };
  one.destination.memory.readPages(late, contents);
  one.destination.memory.punch(late);
  await two.send(undefined, { mayName: 'awaited' });
  expect(two.differences()).toHaveLength(200);
  // It comes otherwise meanwhile, with what the VM has written since.
  two.source.fill(1050, 0x5a);
  await two.send([{ first: 1050, count: 1 }]);
  expect(two.differences()).toHaveLength(199);
  const settling = two.arrivals.settleAwaited();
  one.destination.memory.writePages(late, contents);
  expect(await settling).toBeGreaterThan(0);
  // Nobody asks whether it has come otherwise: it is sent once more.
  expect(two.arrivals.takeMissed()).toEqual([{ first: 1050, count: 1 }]);
  expect(two.differences()).toEqual([]);
});

test('pages that never come are given up, and sent', async () => {
  const [one, two] = pairs as [ChannelPair, ChannelPair];
  fill(one);
  fill(two);
  await one.sendNaming();
  one.destination.memory.punch({ first: 1000, count: 200 });
  expect(await two.sendNaming()).toEqual([{ first: 1000, count: 200 }]);
  expect(two.differences()).toEqual([]);
});

test('nothing is named of a VM of which nothing is known here', async () => {
  const [one, two] = pairs as [ChannelPair, ChannelPair];
  fill(one);
  fill(two);
  await one.sendNaming();
  rmSync(directory.path, { recursive: true });
  await two.sendNaming();
  expect(two.differences()).toEqual([]);
  expect(two.counts.duplicatePages).toBe(0);
  // It was named until it was clear that that is of no use.
  expect(two.counts.missedReferences).toBeGreaterThan(0);
});

test('a source that names pages of other VMs where that was not agreed on breaks the protocol', async () => {
  const [one] = pairs as [ChannelPair, ChannelPair];
  fill(one);
  await one.sendNaming();
  const stranger = await ChannelPair.open({ channels: 1, regions: [PAGES], sentContents });
  pairs.push(stranger);
  stranger.channels.share({ contents: SentContents.enter(sentContents, crypto.randomUUID(), 'far'), key: KEY });
  fill(stranger);
  stranger.sender
    .send(stranger.all, { signal: new AbortController().signal, mayName: 'awaited' })
    .catch(() => undefined);
  await expect
    .poll(() => stranger.failures.map(({ code }) => code), { timeout: 20_000 })
    .toContain('GW_WIRE_FRAME_INVALID');
});
