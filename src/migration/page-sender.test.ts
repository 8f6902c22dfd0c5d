import fc from 'fast-check';
import { expect, test } from 'vitest';
import { describePageCarrier } from '../../test/support/page-carrier-contract.ts';
import { SinkChannels } from '../../test/support/sink-channels.ts';
import { countPages, type PageRun, subtractRuns } from '../base/page.ts';
import { PageBitmap } from '../base/page-bitmap.ts';
import { Pacer } from '../transfer/pacer.ts';
import { MAX_PAGES_PER_FRAME } from '../wire/limits.ts';
import { PAGES_OF_ONE_CHANNEL } from './page-channels.ts';
import { PageSender } from './page-sender.ts';

const FRAMES = 4;
const ALL: PageRun[] = [{ first: 0, count: FRAMES * MAX_PAGES_PER_FRAME }];
const { signal } = new AbortController();

describePageCarrier('channels that lead nowhere', (channels, look) => {
  look(new SinkChannels({ channels }));
  return Promise.resolve();
});

test('what went out before a send failed is in the totals', async () => {
  const sender = new PageSender(new SinkChannels({ sends: 2 }), new Pacer(0));
  await expect(sender.send(ALL, { signal })).rejects.toThrow('closed here');
  expect(sender.totals).toEqual({ pages: 2 * MAX_PAGES_PER_FRAME, zeroPages: 0, resentPages: 0, leftOutPages: 0 });
});

test('what went out before it was told to stop is in the totals', async () => {
  const abort = new AbortController();
  const sender = new PageSender(new SinkChannels(), new Pacer(0));
  const skip = (batch: readonly PageRun[]) => {
    if (batch[0]!.first === 2 * MAX_PAGES_PER_FRAME) abort.abort(new Error('stopped'));
    return [];
  };
  await expect(sender.send(ALL, { signal: abort.signal, skip })).rejects.toThrow('stopped');
  await expect.poll(() => sender.totals.pages).toBe(3 * MAX_PAGES_PER_FRAME);
});

test('the totals count on over several sends, and tell what was sent again and what was zero', async () => {
  const sender = new PageSender(new SinkChannels({ zeroPages: 10 }), new Pacer(0));
  const first = await sender.send(ALL, { signal });
  const again = await sender.send([{ first: 0, count: 30 }], { signal });
  expect([first.pages, again.pages]).toEqual([ALL[0]!.count - 10, 20]);
  expect(sender.totals).toEqual({ pages: ALL[0]!.count + 10, zeroPages: 20, resentPages: 20, leftOutPages: 0 });
});

test('few pages are divided among the channels', async () => {
  const channels = new SinkChannels({ channels: 4 });
  await new PageSender(channels, new Pacer(0)).send([{ first: 5, count: 160 }], { signal });
  expect(channels.jobs.map((jobs) => jobs.map(({ runs }) => countPages(runs)))).toEqual([[40], [40], [40], [40]]);
});

test('in order, a page always goes over the same channel, and each page goes once', async () => {
  const run = fc.record({ first: fc.nat(4000), count: fc.integer({ min: 1, max: 600 }) });
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(run), { maxLength: 4 }), fc.integer({ min: 1, max: 5 }), async (lists, n) => {
      const channels = new SinkChannels({ channels: n });
      const sender = new PageSender(channels, new Pacer(0));
      for (const list of lists) {
        const pages = new PageBitmap(5000);
        pages.addRuns(list);
        const before = channels.jobs.map((jobs) => jobs.length);
        await sender.send(pages.runs(), { signal, inOrder: true });
        const sent = channels.jobs.flatMap((jobs, i) => jobs.slice(before[i]));
        expect(sent.reduce((sum, { runs }) => sum + countPages(runs), 0)).toBe(pages.count());
        for (const { runs } of sent) expect(subtractRuns(runs, pages.runs())).toEqual([]);
      }
      channels.jobs.forEach((jobs, i) => {
        for (const { runs } of jobs) {
          for (const { first, count } of runs) {
            expect(Math.floor(first / PAGES_OF_ONE_CHANNEL) % n).toBe(i);
            expect(count).toBeLessThanOrEqual(MAX_PAGES_PER_FRAME);
          }
        }
      });
    }),
    { numRuns: 50 },
  );
});

test('in order, neighbours go over all channels, too', async () => {
  const channels = new SinkChannels({ channels: 2 });
  await new PageSender(channels, new Pacer(0)).send([{ first: 0, count: 256 }], { signal, inOrder: true });
  expect(channels.jobs.map((jobs) => jobs.map(({ runs }) => countPages(runs)))).toEqual([[128], [128]]);
});

test('under a bandwidth limit a frame waits for its turn, and is no larger than the limit takes in moments', async () => {
  const channels = new SinkChannels();
  await new PageSender(channels, new Pacer(64 * 2 ** 20)).send([{ first: 0, count: 300 }], { signal });
  const [jobs] = channels.jobs;
  expect(jobs!.every(({ isPaced, isDirect }) => isPaced && !isDirect)).toBe(true);
  expect(Math.max(...jobs!.map(({ runs }) => countPages(runs)))).toBeLessThan(100);
});
