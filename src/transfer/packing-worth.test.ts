import { expect, test } from 'vitest';
import { PackingWorth, type SendingLink } from './packing-worth.ts';

const MB = 1e6;
const GIGABIT: SendingLink = { bytesPerSecond: 119 * MB, isBusy: true, isPushed: false };

/** Sends batches of 1 MB, each as fast as its way is; how many of the last 200 were packed. */
function simulate(link: number | undefined, packedMBps: number, rawMBps: number, batches = 2000, isPushed = false) {
  const worth = new PackingWorth();
  const used: string[] = [];
  let nowMs = 0;
  const sending = { bytesPerSecond: link === undefined ? undefined : link * MB, isBusy: true, isPushed };
  for (let i = 0; i < batches; i++) {
    const way = worth.isAllowed(sending, nowMs) ? 'packed' : 'raw';
    worth.note(way, MB, sending, nowMs);
    nowMs += 1000 / (way === 'packed' ? packedMBps : rawMBps);
    used.push(way);
  }
  const packed = (of: string[]) => of.filter((way) => way === 'packed').length;
  return { packed: packed(used.slice(-200)), share: packed(used) / batches, ms: nowMs };
}

test('packing that pays goes on', () => {
  expect(simulate(119, 220, 115).packed).toBe(200);
});

test('packing that holds up the sending is given up, and hardly costs any time', () => {
  const { packed, ms } = simulate(700, 70, 600);
  expect(packed).toBeLessThan(60);
  expect(ms).toBeLessThan((2000 / 600) * 1000 * 1.35);
});

test('one slow moment is none of packing on a link that is not fast, and three in a row are', () => {
  const worth = new PackingWorth();
  let nowMs = 0;
  const send = (packedMBps: number): boolean => {
    // A moment of packing.
    for (const fromMs = nowMs; nowMs < fromMs + 130; nowMs += 1000 / packedMBps) {
      worth.note('packed', MB, GIGABIT, nowMs);
    }
    return worth.isAllowed(GIGABIT, nowMs);
  };
  expect([200, 60, 60, 200, 60, 60, 60].map(send)).toEqual([true, true, true, true, true, true, false]);
});

test('what the link took in its best moments is corrected by what raw sending moves', () => {
  // A link that is fast in bursts only: packing is a little faster all the same.
  expect(simulate(180, 130, 100, 6000).share).toBeGreaterThan(0.9);
});

test('on a fast link raw sending comes first, and packing only where it beats that', () => {
  expect(simulate(700, 455, 900, 100).packed).toBe(0);
  const { packed, ms } = simulate(700, 455, 900);
  expect(packed).toBeLessThan(100);
  expect(ms).toBeLessThan((2000 / 900) * 1000 * 1.1);
  expect(simulate(700, 1200, 900).packed).toBe(200);
  // Busy CPUs make it look slower than it is.
  expect(simulate(300, 250, 500).packed).toBeLessThan(100);
});

test('where little may be on its way the link looks slow, and raw sending is to be beaten there too, unless it is slow', () => {
  // 150 MB/s is what the window lets through: without a limit raw sending moves 500, packing 170.
  expect(simulate(150, 170, 500, 200, true).packed).toBeLessThan(40);
  expect(simulate(undefined, 170, 500, 200, true).packed).toBeLessThan(40);
  expect(simulate(118, 220, 115, 2000, true).packed).toBeGreaterThan(180);
  expect(simulate(24, 45, 24, 200, true).packed).toBe(200);
});

/**
 * Packing takes 6 ms for a MB and leaves half of it. How many of so many batches were packed, over a link that shows what it
 * takes once it has been busy for 40 ms.
 */
function simulateHidden(linkMBps: number, batches: number): number {
  const worth = new PackingWorth();
  let [nowMs, queuedMB, busyMs, packed, seenMBps] = [0, 0, 0, 0, 80];
  for (let i = 0; i < batches; i++) {
    const sending = { bytesPerSecond: seenMBps * MB, isBusy: queuedMB >= 2, isPushed: false };
    const isPacked = worth.isAllowed(sending, nowMs);
    worth.note(isPacked ? 'packed' : 'raw', MB, sending, nowMs);
    queuedMB += isPacked ? 0.5 : 1;
    const ms = Math.max(isPacked ? 6 : 0.5, ((queuedMB - 4) / linkMBps) * 1000);
    queuedMB = Math.max(0, queuedMB - (ms * linkMBps) / 1000);
    busyMs = queuedMB > 0 ? busyMs + ms : 0;
    if (busyMs > 40) seenMBps = linkMBps;
    nowMs += ms;
    if (isPacked) packed++;
  }
  return packed / batches;
}

test('a link that packing does not keep busy is tried without it: it may be faster than it looks', () => {
  expect(simulateHidden(600, 500)).toBeLessThan(0.35);
  // That it is not is seen soon, by what waits for it.
  expect(simulateHidden(119, 500)).toBeGreaterThan(0.9);
});

test('the time between two sendings is of neither', () => {
  const worth = new PackingWorth();
  let nowMs = 0;
  for (let sending = 0; sending < 50; sending++) {
    worth.begin();
    for (let i = 0; i < 10; i++) {
      worth.note('packed', MB, GIGABIT, nowMs);
      nowMs += 5;
    }
    nowMs += 5000;
    expect(worth.isAllowed(GIGABIT, nowMs - 5000)).toBe(true);
  }
});
