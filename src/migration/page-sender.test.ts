import { expect, test } from 'vitest';
import { SinkConnection } from '../../test/support/sink-connection.ts';
import { PAGE_SIZE, type PageRun } from '../base/page.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { Pacer } from '../transfer/pacer.ts';
import { MAX_PAGES_PER_FRAME } from '../wire/limits.ts';
import { PageSender } from './page-sender.ts';

const FRAMES = 4;
const ALL: PageRun[] = [{ first: 0, count: FRAMES * MAX_PAGES_PER_FRAME }];

/** Every page holds something, but for the first ones. */
function memory(zeroPages = 0): GuestMemory {
  const readPages = (run: PageRun, into: Uint8Array) => {
    into.fill(1);
    into.fill(0, 0, Math.max(0, zeroPages - run.first) * PAGE_SIZE);
  };
  return { layout: { pageCount: ALL[0]!.count }, readPages } as unknown as GuestMemory;
}

test('what went out before a send failed is in the totals', async () => {
  const sender = new PageSender(memory(), new SinkConnection(2), new Pacer(0));
  await expect(sender.send(ALL, { signal: new AbortController().signal })).rejects.toThrow();
  expect(sender.totals).toEqual({ pages: 2 * MAX_PAGES_PER_FRAME, zeroPages: 0, resentPages: 0 });
});

test('what went out before it was told to stop is in the totals', async () => {
  const abort = new AbortController();
  const connection = new SinkConnection();
  const sender = new PageSender(memory(), connection, new Pacer(0));
  const skip = (batch: readonly PageRun[]) => {
    if (batch[0]!.first === 2 * MAX_PAGES_PER_FRAME) abort.abort(new Error('stopped'));
    return [];
  };
  await expect(sender.send(ALL, { signal: abort.signal, skip })).rejects.toThrow('stopped');
  await expect.poll(() => sender.totals.pages).toBe(3 * MAX_PAGES_PER_FRAME);
  expect(connection.bytesSent).toBeGreaterThan(3 * MAX_PAGES_PER_FRAME * PAGE_SIZE);
});

test('the totals count on over several sends, and tell what was sent again and what was zero', async () => {
  const sender = new PageSender(memory(10), new SinkConnection(), new Pacer(0));
  const { signal } = new AbortController();
  const first = await sender.send(ALL, { signal });
  const again = await sender.send([{ first: 0, count: 30 }], { signal });
  expect([first.pages, again.pages]).toEqual([ALL[0]!.count - 10, 20]);
  expect(sender.totals).toEqual({ pages: ALL[0]!.count + 10, zeroPages: 20, resentPages: 20 });
});
