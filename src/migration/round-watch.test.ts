import { describe, expect, test } from 'vitest';
import { FakeClock } from '../base/clock.ts';
import type { PageRun } from '../base/page.ts';
import { dirtyAfter } from './dirty-curve.ts';
import { RoundWatch } from './round-watch.ts';

const PAGES = 65_536;
const PAGE_BYTES = 4112;
const QUEUED_BYTES = 100_000;

/** Pages that are modified at so many a second from the first one on; a link that takes so many. */
function watchOf(options: {
  modifiedPerSecond: number;
  sentPerSecond: number;
  pageCount?: number;
  /** Of ten pages that are sent so many are only named, and take next to nothing. */
  namedOfTen?: number;
}) {
  const clock = new FakeClock();
  const { pageCount = PAGES, modifiedPerSecond, sentPerSecond, namedOfTen = 0 } = options;
  const looked: PageRun[] = [];
  const peek = (run: PageRun): PageRun[] => {
    looked.push(run);
    const modified = Math.min(pageCount, Math.round((modifiedPerSecond * clock.nowMs()) / 1000));
    const count = Math.min(run.first + run.count, modified) - run.first;
    return count > 0 ? [{ first: run.first, count }] : [];
  };
  const link = () => {
    const pages = (sentPerSecond * clock.nowMs()) / 1000;
    const leftOutPages = (pages * namedOfTen) / 10;
    const bytes = (pages - leftOutPages) * PAGE_BYTES;
    return { sentBytes: bytes + QUEUED_BYTES, acknowledgedBytes: bytes, pages, zeroPages: 0, leftOutPages };
  };
  const watch = new RoundWatch({ tracker: { peek }, pageCount, link }, clock);
  /** Goes on with a round for so long. */
  const go = (ms: number): void => {
    for (let passed = 0; passed < ms; passed += 10) {
      clock.advance(10);
      watch.advance(Math.round(sentPerSecond / 100), 0);
    }
  };
  return { watch, clock, looked, go };
}

describe('a round that is watched', () => {
  test('shows the dirty curve before it ends', () => {
    const { watch, go } = watchOf({ modifiedPerSecond: 2_000, sentPerSecond: 30_000 });
    watch.begin(1, PAGES, 0);
    expect(watch.curve).toBeNull();
    go(1_000);
    expect(dirtyAfter(watch.curve!, 0.5)).toBeCloseTo(1_000, -2);
  });

  test('of a slowed VM shows its curve at full speed', () => {
    const { watch, go } = watchOf({ modifiedPerSecond: 2_000, sentPerSecond: 30_000 });
    watch.begin(1, PAGES, 50);
    go(1_000);
    expect(dirtyAfter(watch.curve!, 0.5)).toBeCloseTo(2_000, -2);
  });

  test('is looked at seldom, and of a large VM a part only', () => {
    const { watch, go, looked } = watchOf({ modifiedPerSecond: 100, sentPerSecond: 30_000, pageCount: 2 ** 24 });
    watch.begin(1, PAGES, 0);
    go(1_000);
    const windows = PAGES / 512;
    expect(looked.length).toBeLessThanOrEqual(7 * windows);
    expect(looked.every(({ count }) => count === 512)).toBe(true);
    expect(looked[windows - 1]!.first).toBeGreaterThan(0.99 * 2 ** 24);
  });

  test('knows the rate of the link after a second, without what is in buffers', () => {
    const { watch, go } = watchOf({ modifiedPerSecond: 0, sentPerSecond: 30_000 });
    watch.begin(1, PAGES, 0);
    go(900);
    expect(watch.bytesPerSecond).toBe(0);
    go(400);
    expect(watch.bytesPerSecond).toBeCloseTo(30_000 * PAGE_BYTES, -5);
  });

  test('says nothing of the link while it skips nearly all', () => {
    const { watch, clock } = watchOf({ modifiedPerSecond: 0, sentPerSecond: 100 });
    watch.begin(2, PAGES, 0);
    clock.advance(2_000);
    watch.advance(60_000, 59_000);
    expect(watch.bytesPerSecond).toBe(0);
  });

  test('leaves what is ahead, and what was modified since', () => {
    const { watch, go } = watchOf({ modifiedPerSecond: 5_000, sentPerSecond: 30_000 });
    watch.begin(2, PAGES, 0);
    go(1_000);
    const { pages, bytes } = watch.residue(PAGE_BYTES);
    expect(pages).toBeGreaterThanOrEqual(PAGES - 30_000 + 4_400);
    expect(pages).toBeLessThanOrEqual(PAGES - 30_000 + 5_000);
    // What is on its way has to be there first.
    expect(bytes).toBe(pages * PAGE_BYTES + QUEUED_BYTES);
  });

  test.each([1, 2])('in round %i takes pages for as large as those whose contents it sends', (round) => {
    const { watch, go } = watchOf({ modifiedPerSecond: 5_000, sentPerSecond: 30_000, namedOfTen: 9 });
    watch.begin(round, PAGES, 0);
    go(1_000);
    // All rounds before have sent little of each page.
    const { pages, bytes } = watch.residue(100);
    expect(bytes).toBe(pages * PAGE_BYTES + QUEUED_BYTES);
  });

  test('leaves what was looked at and has not gone yet', () => {
    const { watch, clock } = watchOf({ modifiedPerSecond: 0, sentPerSecond: 30_000 });
    watch.begin(2, PAGES, 0);
    clock.advance(1_000);
    // Half of what was taken up waits in the threads of the channels.
    watch.advance(60_000, 0);
    expect(watch.residue(1_000).pages).toBe(PAGES - 30_000);
  });

  test('takes pages that nobody has seen for incompressible, until it has seen others', () => {
    const { watch, go } = watchOf({ modifiedPerSecond: 0, sentPerSecond: 30_000 });
    watch.begin(1, PAGES, 0);
    go(100);
    const { pages, bytes } = watch.residue(1_000);
    expect(bytes).toBe(pages * PAGE_BYTES + QUEUED_BYTES);
  });
});
