import { expect, test } from 'vitest';
import { renderHistory } from './history-view.ts';

const MINUTE = 60_000;
const NOW = 100 * MINUTE;
const BASE = { vm: 'web1', everyMs: MINUTE, keepMs: 60 * MINUTE, memoryBytes: 2 ** 30, peakPagesPerSecond: 0 };

test('a column a minute, as high as what was seen in it, and empty where nothing was', () => {
  const sample = (minutesAgo: number, pagesPerSecond: number) => ({
    atMs: NOW - minutesAgo * MINUTE,
    pagesPerSecond,
    ms: 1000,
    points: [],
  });
  const samples = [sample(59.5, 256), sample(1.5, 1024), sample(1.2, 100), sample(0.5, 512)];
  const text = renderHistory({ ...BASE, samples }, NOW);
  expect(text.split('\n')[0]).toBe(`▃${' '.repeat(57)}█▅`);
  expect(text).toMatch(/last +2.0 MiB\/s, 30.0 s ago/);
  expect(text).toMatch(/most +4/);
});

test('what is older than what is kept, or from a clock that is ahead, spoils nothing', () => {
  const samples = [90, -5].map((minutesAgo) => ({
    atMs: NOW - minutesAgo * MINUTE,
    pagesPerSecond: 10,
    ms: null,
    points: [],
  }));
  expect(renderHistory({ ...BASE, samples }, NOW).split('\n')[0]).toBe(`${' '.repeat(59)}█`);
});

test('the growth of the last look, and a VM of which nothing is known', () => {
  const points = [
    { ms: 100, pages: 256 },
    { ms: 1000, pages: 1024 },
  ];
  const samples = [{ atMs: NOW, pagesPerSecond: 1024, ms: 1000, points }];
  expect(renderHistory({ ...BASE, samples }, NOW)).toMatch(/written +1.0 MiB in 100 ms, 4.0 MiB in 1.0 s/);
  expect(renderHistory({ ...BASE, samples: [] }, NOW)).toMatch(/every 60.0 s/);
  expect(renderHistory({ ...BASE, everyMs: 0, samples: [] }, NOW)).toMatch(/off/);
});
