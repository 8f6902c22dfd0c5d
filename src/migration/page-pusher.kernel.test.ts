import { once } from 'node:events';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ScratchMemory } from '../../test/support/scratch-memory.ts';
import { SocketPair } from '../../test/support/socket-pair.ts';
import { waitUntil, within } from '../../test/support/wait-until.ts';
import { PageBitmap } from '../base/page-bitmap.ts';
import { setSocketOption } from '../linux/socket.ts';
import { Pacer } from '../transfer/pacer.ts';
import { StreamConnection } from '../transfer/stream-connection.ts';
import { encodePageRequest } from '../wire/encoder.ts';
import { decodePages } from '../wire/page-payloads.ts';
import { PagePusher } from './page-pusher.ts';

const PAGES = 2048;
const ALL = [{ first: 0, count: PAGES }];
/** More than the window has room for at first. */
const FULL_BYTES = 512 * 1024;

let scratch: ScratchMemory;
let resources: DisposableStack;

beforeEach(() => {
  resources = new DisposableStack();
  scratch = resources.use(new ScratchMemory(PAGES));
  scratch.fill(0, ...Array.from({ length: PAGES }, (_, page) => 1 + (page % 255)));
});
afterEach(() => resources.dispose());

function createPusher(pacer = new Pacer(0)): PagePusher {
  const fail = (error: Error) => {
    throw error;
  };
  const { memory } = scratch;
  const files = memory.ownPaths();
  const hooks = { packing: () => undefined, onLinkLost: fail, onFailed: fail };
  return new PagePusher({ memory, files, pacer, verify: null, roundTripMs: 1, ...hooks });
}

/** The source's end, and the destination's, which buffers little and reads nothing until told to. */
async function connect(): Promise<[source: StreamConnection, destination: StreamConnection]> {
  const sockets = resources.use(await SocketPair.open());
  const fds = [sockets.take('near'), sockets.take('far')] as const;
  setSocketOption(fds[1], 'receiveBufferBytes', 64 * 1024);
  const ends = (['destination', 'source'] as const).map((peerRole, i) =>
    StreamConnection.fromFd(fds[i]!, { peer: peerRole, peerRole, preface: 'seen' }),
  );
  for (const end of ends) resources.defer(() => end.destroy());
  return [ends[0]!, ends[1]!];
}

function receivePages(connection: StreamConnection): PageBitmap {
  const pages = new PageBitmap(PAGES);
  connection.receive(({ payload }) => pages.addRuns(decodePages(payload, PAGES).runs));
  return pages;
}

test('pushes every page', async () => {
  const [source, destination] = await connect();
  const pusher = createPusher();
  pusher.owe(ALL);
  const received = receivePages(destination);
  await within('all is pushed', pusher.push(source));
  await expect.poll(() => received.count()).toBe(PAGES);
  expect(pusher.owedPages).toBe(0);
});

test('what pushed over a connection that is lost takes nothing of the list that came after it', async () => {
  const [first] = await connect();
  const [second, destination] = await connect();
  const pusher = createPusher();
  pusher.owe(ALL);
  const pushing = pusher.push(first);
  await waitUntil('the link is full', () => first.unacknowledgedBytes > FULL_BYTES);
  first.destroy();
  pusher.oweOnly(ALL);
  await within('the first pushing ends', pushing);
  expect(pusher.owedPages).toBe(PAGES);
  const received = receivePages(destination);
  await within('all is pushed', pusher.push(second));
  await expect.poll(() => received.count()).toBe(PAGES);
});

test('what pushed before another connection came takes nothing either', async () => {
  const [first] = await connect();
  const [second, destination] = await connect();
  const pusher = createPusher();
  pusher.owe(ALL);
  const pushing = pusher.push(first);
  await waitUntil('the link is full', () => first.unacknowledgedBytes > FULL_BYTES);
  pusher.oweOnly(ALL);
  const received = receivePages(destination);
  await within('all is pushed', Promise.all([pushing, pusher.push(second)]));
  await expect.poll(() => received.count()).toBe(PAGES);
});

test('a page server in the middle of its answers takes nothing of the list that came after it', async () => {
  const [first, second] = [resources.use(await SocketPair.open()), resources.use(await SocketPair.open())];
  const pusher = createPusher();
  resources.defer(() => pusher.stop());
  pusher.owe(ALL);
  for (let page = 0; page < PAGES; page += 16) first.far.write(encodePageRequest(page, { first: page, count: 1 }));
  const fd = first.take('near');
  setSocketOption(fd, 'sendBufferBytes', 64 * 1024);
  first.near.destroy();
  await pusher.serve(fd);
  await waitUntil('it answers', () => pusher.owedPages < PAGES);
  expect(pusher.owedPages).toBeGreaterThan(0);
  await pusher.serve(second.take('near'));
  pusher.oweOnly(ALL);
  first.far.resume();
  await within('it has ended', once(first.far, 'end'));
  expect(pusher.owedPages).toBe(PAGES);
});

test('is told twice to push over one connection: it goes on, and no page is lost', async () => {
  const [source, destination] = await connect();
  // A step is several frames, so that the second word comes in the middle of one.
  const pacer = new Pacer(8 * 1024 * 1024);
  const pusher = createPusher(pacer);
  pusher.owe(ALL);
  const received = receivePages(destination);
  const pushing = pusher.push(source);
  await waitUntil('some pages came', () => received.count() > 0);
  await pusher.push(source);
  pacer.setLimit(0);
  await within('all is pushed', pushing);
  await expect.poll(() => received.count()).toBe(PAGES);
});

test('stopped in the middle of a step it ends without an error', async () => {
  const [source, destination] = await connect();
  const pusher = createPusher(new Pacer(1024 * 1024));
  pusher.owe(ALL);
  const received = receivePages(destination);
  const pushing = pusher.push(source);
  await waitUntil('some pages came', () => received.count() > 0);
  pusher.stop();
  await within('the pushing ends', pushing);
  expect(source.isClosed).toBe(false);
  expect(pusher.owedPages).toBeGreaterThan(0);
});
