import { expect, test } from 'vitest';
import { largerTest } from '../../test/support/further-cases.ts';
import { SYSTEM_CLOCK } from '../base/clock.ts';
import type { PageRun } from '../base/page.ts';
import { LOOKS_MS, lookAtWriting, sampleOf } from './dirty-window.ts';

/** A VM of which so many pages are found written at the looks, one after the other. */
function trial(found: readonly number[], onLook: (look: number) => void = () => undefined) {
  const log: string[] = [];
  let look = 0;
  const tracker = {
    start: () => void log.push('start'),
    peek: (): PageRun[] => {
      log.push('look');
      onLook(look);
      return [{ first: 0, count: found[look++] ?? 0 }];
    },
    stop: () => void log.push('stop'),
  };
  return { tracker, log, pageCount: 2 ** 20, scale: 3, clock: SYSTEM_CLOCK };
}

largerTest('a window looks at its times, and what it finds stands for the whole VM', async () => {
  const ending = new AbortController();
  const port = trial([10, 20, 30], (look) => look === 2 && ending.abort());
  const points = await lookAtWriting({ ...port, signal: ending.signal });
  expect(points.map(({ pages }) => pages)).toEqual([30, 60, 90]);
  for (const [look, { ms }] of points.entries()) expect(ms).toBeGreaterThan(LOOKS_MS[look]! - 5);
  expect(port.log).toEqual(['start', 'look', 'look', 'look', 'stop']);
});

test('who wants the VM has it at once, and what was found until then is kept', async () => {
  const ending = new AbortController();
  const port = trial([7], () => ending.abort());
  expect(await lookAtWriting({ ...port, signal: ending.signal })).toMatchObject([{ pages: 21 }]);
  expect(port.log.at(-1)).toBe('stop');
});

test('a look that fails ends the tracking', async () => {
  const port = trial([], () => {
    throw new Error('no such process');
  });
  await expect(lookAtWriting({ ...port, signal: new AbortController().signal })).rejects.toThrow('no such process');
  expect(port.log.at(-1)).toBe('stop');
});

test('the rate of a sample is that of its first second, or of what there is', () => {
  const points = [100, 300, 1000, 3000].map((ms) => ({ ms, pages: ms * 2 }));
  // Its middle: the window ended at 10 s.
  expect(sampleOf(points, 10_000)).toMatchObject({ atMs: 7_500, ms: 1000, pagesPerSecond: 2000, points });
  expect(sampleOf(points.slice(0, 1), 5)).toMatchObject({ ms: 100, pagesPerSecond: 2000 });
  expect(sampleOf([], 5)).toBeNull();
});
