import { afterEach, beforeEach, expect, test } from 'vitest';
import { SocketPair } from '../../test/support/socket-pair.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import { PAGE_SIZE } from '../base/page.ts';
import { RegionConnection } from './region-connection.ts';

const PAGES = 10_000;
const DATA = new Uint8Array(PAGE_SIZE).fill(3);

let pair: SocketPair;
let near: RegionConnection;
let far: RegionConnection;

beforeEach(async () => {
  pair = await SocketPair.open();
  near = new RegionConnection(pair.take('near'), 'destination', PAGES);
  far = new RegionConnection(pair.take('far'), 'source', PAGES);
});

afterEach(() => {
  near[Symbol.dispose]();
  far[Symbol.dispose]();
  pair[Symbol.dispose]();
});

/** What `at` hears until it has heard so much, as text. */
async function hear(at: RegionConnection, count: number): Promise<string[]> {
  const heard: string[] = [];
  await waitUntil('all is heard', () => {
    const lost = at.read({
      message: (message, data) => heard.push(`${JSON.stringify(message)} ${data?.[0]}`),
      control: ({ kind }) => heard.push(kind),
    });
    expect(lost).toBeUndefined();
    return heard.length >= count;
  });
  return heard;
}

test('what is said is heard, in its order', async () => {
  near.say({ kind: 'page', page: 4, turn: 1 }, () => DATA);
  near.say({ kind: 'page', page: 5, turn: 1 }, () => null);
  near.say({ kind: 'ask', page: 6, turn: 1 }, () => null);
  near.say({ kind: 'acknowledge', page: 7, turn: 2 }, () => null);
  near.say({ kind: 'complete' }, () => null);
  near.sayControl({ kind: 'release' });
  expect(near.flush()).toBeUndefined();
  expect(await hear(far, 6)).toEqual([
    '{"kind":"page","page":4,"turn":1} 3',
    '{"kind":"page","page":5,"turn":1} undefined',
    '{"kind":"ask","page":6,"turn":1} undefined',
    '{"kind":"acknowledge","page":7,"turn":2} undefined',
    '{"kind":"complete"} undefined',
    'release',
  ]);
  expect(far.bytes.received).toBe(near.bytes.sent);
});

test('who takes nothing is not listened to beyond a bound, and sending never waits', () => {
  expect(near.mayRead).toBe(true);
  for (let page = 0; page < PAGES; page++) {
    near.say({ kind: 'page', page, turn: 1 }, () => DATA);
    expect(near.flush()).toBeUndefined();
  }
  expect(near.isPending).toBe(true);
  expect(near.mayRead).toBe(false);
});

test('who has heard nothing for a second asks, and gives up after ten', async () => {
  const startMs = performance.now();
  const lossAt = (ms: number): string | undefined => near.keepAlive(startMs + ms);
  for (let ms = 0; ms < 1000; ms += 200) expect(lossAt(ms)).toBeUndefined();
  expect(near.isPending).toBe(false);
  expect(lossAt(1200)).toBeUndefined();
  expect(near.isPending).toBe(true);
  near.flush();
  expect(await hear(far, 1)).toEqual(['ping']);
  far.flush();
  for (let ms = 1400; ms < 9900; ms += 200) expect(lossAt(ms)).toBeUndefined();
  expect(lossAt(10_200)).toMatch(/said nothing/);
});

test('an answer counts, and a moment in which this side did not look does not', async () => {
  const startMs = performance.now();
  expect(near.keepAlive(startMs)).toBeUndefined();
  expect(near.keepAlive(startMs + 60_000)).toBeUndefined();
  near.sayControl({ kind: 'ping', token: 0, wallMs: 1 });
  near.flush();
  expect(new Set(await hear(far, 2))).toEqual(new Set(['ping']));
  far.flush();
  expect(await hear(near, 2)).toEqual(['pong', 'pong']);
  expect(near.keepAlive(performance.now() + 900)).toBeUndefined();
  expect(near.isPending).toBe(false);
});

test('a connection that has ended is lost, to who reads and to who sends', async () => {
  far[Symbol.dispose]();
  pair.far.destroy();
  const nothing = { message: () => undefined, control: () => undefined };
  expect(await waitUntil('it is lost', () => near.read(nothing))).toMatch(/closed|ECONNRESET/);
  const lost = await waitUntil('sending fails', () => {
    near.sayControl({ kind: 'release' });
    return near.flush();
  });
  expect(lost).toMatch(/EPIPE|ECONNRESET/);
});
