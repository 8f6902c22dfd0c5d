import { once } from 'node:events';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ScratchMemory } from '../../test/support/scratch-memory.ts';
import { SocketPair } from '../../test/support/socket-pair.ts';
import { waitUntil, within } from '../../test/support/wait-until.ts';
import type { PageRun } from '../base/page.ts';
import { PageBitmap } from '../base/page-bitmap.ts';
import { setSocketOption } from '../linux/socket.ts';
import { PageHeat } from '../memory/page-heat.ts';
import { Pacer } from '../transfer/pacer.ts';
import { StreamConnection } from '../transfer/stream-connection.ts';
import { FrameDecoder } from '../wire/decoder.ts';
import { encodePageRequest } from '../wire/encoder.ts';
import { FrameType } from '../wire/frame-types.ts';
import { decodePageReply, decodePages } from '../wire/page-payloads.ts';
import { endThreads } from './child-threads.ts';
import { PageChannels } from './page-channels.ts';
import { PagePusher } from './page-pusher.ts';

/** Threads that have just been started are slow on a busy machine. */
const PATIENT = { timeout: 10_000 } as const;
const PAGES = 2048;
const ALL = [{ first: 0, count: PAGES }];
/** The smallest window: pushing goes on up to this, however slow the link looks. */
const FULL_BYTES = 32 * 1024;

let scratch: ScratchMemory;
let channels: PageChannels;
let resources: DisposableStack;

beforeEach(() => {
  resources = new DisposableStack();
  scratch = resources.use(new ScratchMemory(PAGES));
  scratch.fill(0, ...Array.from({ length: PAGES }, (_, page) => 1 + (page % 255)));
  const { memory } = scratch;
  channels = resources.use(
    new PageChannels({
      memory,
      count: 1,
      sent: null,
      peer: 'far',
      tls: null,
      onLost: () => undefined,
      note: () => undefined,
    }),
  );
});
afterEach(async () => {
  resources.dispose();
  await endThreads();
});

function createPusher(pacer = new Pacer(0)): PagePusher {
  const fail = (error: Error) => {
    throw error;
  };
  const { memory } = scratch;
  const files = memory.ownPaths();
  const hooks = { packing: () => undefined, onLinkLost: fail, onFailed: fail };
  return new PagePusher({ memory, files, pacer, channels, verify: null, roundTripMs: 1, ...hooks });
}

/** What the source has of a link: the main connection, and a page channel once it is pushed over. */
class SourceEnd {
  readonly #main: StreamConnection;
  #pagesFd: number | undefined;

  constructor(main: StreamConnection, pagesFd: number) {
    this.#main = main;
    this.#pagesFd = pagesFd;
  }

  get isClosed(): boolean {
    return this.#main.isClosed;
  }

  pushFrom(pusher: PagePusher): Promise<void> {
    if (this.#pagesFd !== undefined) channels.link([this.#pagesFd]);
    this.#pagesFd = undefined;
    return pusher.push(this.#main);
  }

  destroy(): void {
    this.#main.destroy();
    channels.cut();
  }
}

/** The source's end, and the destination's of its page channel, which buffers little and reads nothing until told to. */
async function connect(): Promise<[source: SourceEnd, destination: StreamConnection]> {
  const [main, pages] = [resources.use(await SocketPair.open()), resources.use(await SocketPair.open())];
  const source = StreamConnection.fromFd(main.take('near'), {
    peer: 'far',
    peerRole: 'destination',
    preface: 'seen',
  });
  const fd = pages.take('far');
  setSocketOption(fd, 'receiveBufferBytes', 64 * 1024);
  const destination = StreamConnection.fromFd(fd, { peer: 'near', peerRole: 'source', preface: 'seen' });
  resources.defer(() => source.destroy());
  resources.defer(() => destination.destroy());
  return [new SourceEnd(source, pages.take('near')), destination];
}

function receivePages(connection: StreamConnection): PageBitmap {
  const pages = new PageBitmap(PAGES);
  connection.receive(({ payload }) => pages.addRuns(decodePages(payload, PAGES).runs));
  return pages;
}

function pagesOf({ first, count }: PageRun): number[] {
  return Array.from({ length: count }, (_, i) => first + i);
}

/** Each page as often as it comes, in the order in which they come. */
function recordPages(connection: StreamConnection): number[] {
  const pages: number[] = [];
  connection.receive(({ payload }) => pages.push(...decodePages(payload, PAGES).runs.flatMap(pagesOf)));
  return pages;
}

/** Asks for pages over the urgent connection; the replies come here, each a list of pages. */
async function openUrgent(pusher: PagePusher): Promise<{ replies: number[][]; ask(...pages: number[]): void }> {
  const sockets = resources.use(await SocketPair.open());
  const { near, far } = sockets;
  resources.defer(() => pusher.stop());
  const replies: number[][] = [];
  const decoder = new FrameDecoder('source', 'seen');
  far.on('data', (chunk: Buffer) => {
    decoder.push(chunk);
    for (let step = decoder.next(); step.kind === 'frame'; step = decoder.next()) {
      if (step.type === FrameType.pageReply) replies.push(decodePageReply(step.payload, PAGES).runs.flatMap(pagesOf));
    }
  });
  await pusher.serve(sockets.take('near'));
  near.destroy();
  far.resume();
  return {
    replies,
    ask: (...pages) => {
      for (const page of pages) far.write(encodePageRequest(page, { first: page, count: 1 }));
    },
  };
}

test('pushes every page', async () => {
  const [source, destination] = await connect();
  const pusher = createPusher();
  pusher.owe(ALL);
  const received = receivePages(destination);
  await within('all is pushed', source.pushFrom(pusher));
  await expect.poll(() => received.count(), PATIENT).toBe(PAGES);
  expect(pusher.owedPages).toBe(0);
});

test('what pushed over a connection that is lost takes nothing of the list that came after it', async () => {
  const [first] = await connect();
  const [second, destination] = await connect();
  const pusher = createPusher();
  pusher.owe(ALL);
  const pushing = first.pushFrom(pusher);
  await waitUntil('the link is full', () => channels.unacknowledgedBytes >= FULL_BYTES);
  first.destroy();
  pusher.oweOnly(ALL);
  await within('the first pushing ends', pushing);
  expect(pusher.owedPages).toBe(PAGES);
  const received = receivePages(destination);
  await within('all is pushed', second.pushFrom(pusher));
  await expect.poll(() => received.count(), PATIENT).toBe(PAGES);
});

test('what pushed before another connection came takes nothing either', async () => {
  const [first] = await connect();
  const [second, destination] = await connect();
  const pusher = createPusher();
  pusher.owe(ALL);
  const pushing = first.pushFrom(pusher);
  await waitUntil('the link is full', () => channels.unacknowledgedBytes >= FULL_BYTES);
  pusher.oweOnly(ALL);
  const received = receivePages(destination);
  await within('all is pushed', Promise.all([pushing, second.pushFrom(pusher)]));
  await expect.poll(() => received.count(), PATIENT).toBe(PAGES);
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
  const pushing = source.pushFrom(pusher);
  await waitUntil('some pages came', () => received.count() > 0);
  await source.pushFrom(pusher);
  pacer.setLimit(0);
  await within('all is pushed', pushing);
  await expect.poll(() => received.count(), PATIENT).toBe(PAGES);
});

test('stopped in the middle of a step it ends without an error', async () => {
  const [source, destination] = await connect();
  const pusher = createPusher(new Pacer(1024 * 1024));
  pusher.owe(ALL);
  const received = receivePages(destination);
  const pushing = source.pushFrom(pusher);
  await waitUntil('some pages came', () => received.count() > 0);
  pusher.stop();
  await within('the pushing ends', pushing);
  expect(source.isClosed).toBe(false);
  expect(pusher.owedPages).toBeGreaterThan(0);
});

describe('the order', () => {
  /** Slow enough that what is asked for meanwhile makes a difference. */
  const SLOW = 2 * 1024 * 1024;
  const isNear = (page: number) => Math.abs(page - 1500) < 100;

  test('is by heat where there is any, and for the list after a reconnect once more', async () => {
    const [source, destination] = await connect();
    const [second, secondDestination] = await connect();
    const [before, last] = [
      { first: 1000, count: 400 },
      { first: 500, count: 32 },
    ] as const;
    const heat = new PageHeat(PAGES);
    heat.look([before]);
    heat.look([last]);
    const pusher = createPusher(new Pacer(SLOW));
    pusher.owe(ALL, heat);
    const received = recordPages(destination);
    const pushing = source.pushFrom(pusher);
    await waitUntil('some pages came', () => received.length >= 48);
    pusher.stop();
    await within('the pushing ends', pushing);
    const expected = [...pagesOf(last), ...pagesOf(before).slice(0, 16)];
    expect(received.slice(0, 48)).toEqual(expected);

    pusher.oweOnly(ALL);
    const receivedAgain = recordPages(secondDestination);
    const again = second.pushFrom(pusher);
    await waitUntil('some pages came', () => receivedAgain.length >= 48);
    pusher.stop();
    await within('the pushing ends', again);
    expect(receivedAgain.slice(0, 48)).toEqual(expected);
  });

  test('follows what is asked for', async () => {
    const [source, destination] = await connect();
    const pusher = createPusher(new Pacer(SLOW));
    pusher.owe(ALL);
    const urgent = await openUrgent(pusher);
    const received = recordPages(destination);
    const pushing = source.pushFrom(pusher);
    await waitUntil('some pages came', () => received.length > 0);
    urgent.ask(1500);
    await waitUntil('pages around come', () => received.filter(isNear).length >= 32);
    pusher.stop();
    await within('the pushing ends', pushing);
    expect(received.length).toBeLessThan(1000);
    const near = received.filter(isNear);
    expect([near.some((page) => page < 1500), near.some((page) => page > 1500)]).toEqual([true, true]);
  });

  test('goes on around the last faults on another connection', async () => {
    const [first, firstDestination] = await connect();
    const [second, destination] = await connect();
    const pusher = createPusher(new Pacer(SLOW));
    pusher.owe(ALL);
    const urgent = await openUrgent(pusher);
    const lost = recordPages(firstDestination);
    const pushing = first.pushFrom(pusher);
    urgent.ask(1500);
    await waitUntil('the pushing has heard of it', () => lost.some(isNear));
    first.destroy();
    await within('the first pushing ends', Promise.allSettled([pushing]));
    await openUrgent(pusher);
    pusher.oweOnly(ALL);
    const received = recordPages(destination);
    const again = second.pushFrom(pusher);
    await waitUntil('some pages came', () => received.length >= 16);
    pusher.stop();
    await within('the pushing ends', again);
    expect(received.slice(0, 16).every(isNear)).toBe(true);
  });
});

test('each page goes once, pushed or as a neighbour, while both take them at the same time', async () => {
  const [source, destination] = await connect();
  const pacer = new Pacer(16 * 1024 * 1024);
  const pusher = createPusher(pacer);
  pusher.owe(ALL);
  const urgent = await openUrgent(pusher);
  const pushed = recordPages(destination);
  const pushing = source.pushFrom(pusher);
  const asked = Array.from({ length: 300 }, (_, i) => (i * 701) % PAGES);
  for (const page of asked) {
    urgent.ask(page);
    await new Promise((resolve) => setImmediate(resolve));
  }
  pacer.setLimit(0);
  await within('all is pushed', pushing);
  // An answer is the page asked for alone, whoever sent it before; then its neighbours, if any are left.
  await waitUntil('all is answered', () => asked.every((page) => urgent.replies.some(([first]) => first === page)));
  const answers = new Set(asked);
  await waitUntil('every page came', () => new Set([...pushed, ...urgent.replies.flat()]).size === PAGES);
  const all = [...pushed, ...urgent.replies.flat()];
  expect(all.filter((page) => !answers.has(page)).sort((a, b) => a - b)).toEqual(
    pagesOf(ALL[0]!).filter((page) => !answers.has(page)),
  );
  expect(new Set(pushed).size).toBe(pushed.length);
  expect(urgent.replies.some((pages) => pages.length > 1)).toBe(true);
});
