import { expect, test } from 'vitest';
import { FaultWindow } from './fault-window.ts';

test.each([
  ['nothing is known yet', [], 16],
  ['10 Mbit/s', [{ pages: 100, bytes: 125_000, ms: 100 }], 1],
  ['1 Gbit/s', [{ pages: 3000, bytes: 12_500_000, ms: 100 }], 2],
  ['10 Gbit/s', [{ pages: 30_000, bytes: 125_000_000, ms: 100 }], 16],
  [
    '10 Gbit/s, and many pages that were only named',
    [
      { pages: 30_000, bytes: 125_000_000, ms: 100 },
      { pages: 30_000, bytes: 480_000, ms: 1000 },
    ],
    16,
  ],
])('%s', (_, steps, pages) => {
  const window = new FaultWindow(0);
  let nowMs = 0;
  for (const { ms, ...sent } of steps) {
    nowMs += ms;
    window.learn(sent, nowMs);
  }
  expect(window.pages).toBe(pages);
});
