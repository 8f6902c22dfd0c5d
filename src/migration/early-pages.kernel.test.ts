// Pages that come before there is a place for them (feature early-pages).
import { randomFillSync } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { ChannelPair } from '../../test/support/channel-pair.ts';
import { withFurther } from '../../test/support/further-cases.ts';
import { SocketPair } from '../../test/support/socket-pair.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import { PAGE_SIZE } from '../base/page.ts';
import { FRAMES } from '../wire/frame-types.ts';
import { MAX_HELD_BYTES } from './held-frames.ts';

/** More than may be held and sockets take. */
const PAGES = 20_000;
/** The threads tell what has come in pieces. */
const NEARLY_ALL = MAX_HELD_BYTES - 2 ** 20;
const LARGEST_FRAME = FRAMES.packedPages.maxBytes + 8;

function fillAll({ source, pageCount }: ChannelPair): void {
  source.memory.writePages({ first: 0, count: pageCount }, randomFillSync(new Uint8Array(pageCount * PAGE_SIZE)));
}

const CHANNELS = withFurther(
  [{ channels: 2, isRaw: true }],
  [
    { channels: 1, isRaw: true },
    { channels: 2, isRaw: false },
  ],
);

test.each(
  CHANNELS,
)('pages are kept up to a bound, and put in place when there is one ($channels channels, raw: $isRaw)', async (how) => {
  await using pair = await ChannelPair.open({ ...how, regions: [PAGES], isEarly: true });
  fillAll(pair);
  const sending = pair.send();
  sending.catch(() => undefined);
  await waitUntil('as much has come as is kept', () => pair.arrivals.bytes >= NEARLY_ALL);
  // All of the rest would come in that time.
  await delay(200);
  expect(pair.arrivals.bytes).toBeLessThanOrEqual(MAX_HELD_BYTES + how.channels * LARGEST_FRAME);
  expect([pair.arrivals.receivedPages, pair.destination.residentPages()]).toEqual([0, 0]);
  pair.arrivals.open(pair.destination.memory);
  await sending;
  expect(pair.differences()).toEqual([]);
  // In the order in which they came: what is sent later replaces it.
  pair.source.memory.writePages({ first: 3, count: 1 }, new Uint8Array(PAGE_SIZE).fill(7));
  await pair.send([{ first: 3, count: 1 }]);
  expect(pair.differences()).toEqual([]);
  expect(pair.failures).toEqual([]);
});

test('a migration that ends before there was a place for its pages ends at once', async () => {
  await using pair = await ChannelPair.open({ channels: 2, isRaw: true, regions: [PAGES], isEarly: true });
  fillAll(pair);
  const sending = pair.send();
  sending.catch(() => undefined);
  await waitUntil('as much has come as is kept', () => pair.arrivals.bytes >= NEARLY_ALL);
  await pair.arrivals.stop();
  await expect(pair.sender.send([{ first: 0, count: 1 }], { signal: AbortSignal.timeout(5000) })).rejects.toThrow();
});

test('what no page channel carries is refused when its turn comes', async () => {
  await using pair = await ChannelPair.open({ channels: 1, isRaw: true, regions: [16], isEarly: true });
  using sockets = await SocketPair.open();
  pair.arrivals.add(sockets.take('far'));
  sockets.near.write(new Uint8Array([4, 0, 0, 0, FRAMES.stateChunk.code, 0, 0, 0, 1, 2, 3, 4, 4]));
  // The thread tells what has come when it waits for more: for the rest of a header.
  await waitUntil('it has come', () => pair.arrivals.bytes >= 13);
  expect(pair.failures).toEqual([]);
  pair.arrivals.open(pair.destination.memory);
  sockets.near.write(new Uint8Array([0, 0, 0, FRAMES.stateChunk.code, 0, 0, 0, 1, 2, 3, 4]));
  await waitUntil('it is refused', () => pair.failures.length > 0);
  expect(pair.failures[0]).toMatchObject({ code: 'GW_WIRE_FRAME_INVALID' });
});
