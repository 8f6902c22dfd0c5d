import { expect, test } from 'vitest';
import { PackingWorth, type SendingLink } from './packing-worth.ts';

const MB = 1e6;
const GIGABIT: SendingLink = { bytesPerSecond: 119 * MB, busyBytesPerSecond: undefined, isPushed: false };

/** Sends batches of 1 MB, each as fast as its way is; how many of the last 200 were packed. */
function simulate(link: number | undefined, packedMBps: number, rawMBps: number, batches = 2000, isPushed = false) {
  const worth = new PackingWorth();
  const used: string[] = [];
  let nowMs = 0;
  const sending = {
    bytesPerSecond: link === undefined ? undefined : link * MB,
    busyBytesPerSecond: undefined,
    isPushed,
  };
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

/** Whether packing goes on after each of these moments of it, over 1 Gbit/s. */
function goesOn(...packedMBps: readonly number[]): boolean[] {
  const worth = new PackingWorth();
  let nowMs = 0;
  return packedMBps.map((rate) => {
    const batches = Math.max(9, Math.ceil((130 * rate) / 1000));
    for (let i = 0; i < batches; i++, nowMs += 1000 / rate) worth.note('packed', MB, GIGABIT, nowMs);
    return worth.isAllowed(GIGABIT, nowMs);
  });
}

test('one moment that is a little slow is not the end of packing on a link that is not fast', () => {
  // Raw sending would move 95.
  expect(goesOn(200, 60, 200, 60)).toEqual([true, true, true, true]);
  expect(goesOn(200, 60, 60, 60).at(-1)).toBe(false);
  expect(goesOn(200, 40, 40).at(-1)).toBe(false);
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

test('a link that packing does not keep busy is as fast as it is while it has something to do', () => {
  const worth = new PackingWorth();
  const hidden = { ...GIGABIT, busyBytesPerSecond: 600 * MB };
  expect(worth.isAllowed(GIGABIT, 0)).toBe(true);
  expect(worth.isAllowed(hidden, 0)).toBe(false);
});

test('where little may be on its way nothing is packed for a link that is fast while it has something to do', () => {
  const worth = new PackingWorth();
  const slow = { bytesPerSecond: 30 * MB, busyBytesPerSecond: 35 * MB, isPushed: true };
  expect(worth.isAllowed(slow, 0)).toBe(true);
  expect(worth.isAllowed({ ...slow, busyBytesPerSecond: 500 * MB }, 0)).toBe(false);
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
