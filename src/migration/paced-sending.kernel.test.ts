// What the sender takes of a bandwidth limit, over a page channel with its real threads.
import { expect, test } from 'vitest';
import { ChannelPair, SLOW } from '../../test/support/channel-pair.ts';
import { PAGE_SIZE } from '../base/page.ts';
import { Pacer } from '../transfer/pacer.ts';

const PAGES = 1024;
/** So far away that nothing waits for it. */
const LIMIT_BYTES_PER_SECOND = 1e12;

class CountingPacer extends Pacer {
  bytes = 0;

  override take(bytes: number): Promise<void> {
    this.bytes += bytes;
    return super.take(bytes);
  }

  override charge(bytes: number): void {
    this.bytes += bytes;
    super.charge(bytes);
  }
}

async function sendAll(isRaw: boolean): Promise<{ pacedBytes: number; sentBytes: number }> {
  const pacer = new CountingPacer(LIMIT_BYTES_PER_SECOND);
  await using pair = await ChannelPair.open({ channels: 1, regions: [PAGES], isRaw, pacer });
  pair.link = SLOW;
  // Pages that are like text, none like another.
  const text = Uint8Array.from({ length: PAGES * PAGE_SIZE }, (_, i) => 32 + (((i >>> 12) * 2 + (i >>> 5)) & 63));
  pair.source.memory.writePages(pair.all[0]!, text);
  // Past the batches that go raw to see what the link can take.
  for (let i = 0; i < 5; i++) await pair.send([{ first: 0, count: 1 }]);
  const before = pair.channels.bytesSent;
  expect(pacer.bytes).toBe(before);
  await pair.send([{ first: 1, count: PAGES - 1 }]);
  expect(pair.differences()).toEqual([]);
  return { pacedBytes: pacer.bytes - before, sentBytes: pair.channels.bytesSent - before };
}

test('a bandwidth limit is of what is sent, not of what it was before', async () => {
  const { pacedBytes, sentBytes } = await sendAll(false);
  expect(sentBytes).toBeLessThan((PAGES * PAGE_SIZE) / 2);
  expect(pacedBytes).toBe(sentBytes);
});

test('and of all that is sent, frames included', async () => {
  const { pacedBytes, sentBytes } = await sendAll(true);
  expect(sentBytes).toBeGreaterThan((PAGES - 1) * PAGE_SIZE);
  expect(pacedBytes).toBe(sentBytes);
});
