import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PageBitmap } from '../base/page-bitmap.ts';
import { FaultBubbles, MAX_BUBBLES } from './fault-bubbles.ts';

const PAGES = 65_536;

interface Scene {
  readonly owed: PageBitmap;
  readonly bubbles: FaultBubbles;
}

/** Everything is owed but what was asked for. */
function afterFaults(...pages: readonly number[]): Scene {
  const owed = PageBitmap.shared(PAGES);
  owed.addRun(0, PAGES);
  const bubbles = new FaultBubbles(owed);
  const scene = { owed, bubbles };
  fault(scene, ...pages);
  return scene;
}

function fault({ owed, bubbles }: Scene, ...pages: readonly number[]): void {
  for (const page of pages) {
    owed.release(page);
    bubbles.fault(page);
  }
}

function take({ bubbles }: Scene, most: number): number[] {
  const pages: number[] = [];
  bubbles.take(most, pages);
  return pages;
}

function upFrom(page: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => page + i);
}

function downFrom(page: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => page - i);
}

describe('a bubble', () => {
  test('grows both ways, a turn on each side', () => {
    const scene = afterFaults(1000);
    expect(take(scene, 64)).toEqual([
      ...upFrom(1001, 16),
      ...downFrom(999, 16),
      ...upFrom(1017, 16),
      ...downFrom(983, 16),
    ]);
  });

  test.each([
    ['ascend', [1000, 1005, 1020], upFrom(1001, 40).filter((page) => page !== 1005 && page !== 1020)],
    ['descend', [1000, 995, 980], downFrom(999, 40).filter((page) => page !== 995 && page !== 980)],
    [
      'have turned twice',
      [1000, 995, 990, 1010, 1030],
      upFrom(1001, 40).filter((page) => page !== 1010 && page !== 1030),
    ],
  ])('whose faults %s is a stream and grows on that side only', (_, faults, pages) => {
    const scene = afterFaults(...faults);
    const taken: number[] = [];
    scene.bubbles.takeStreams(38, taken);
    expect(taken).toEqual(pages);
  });

  test.each([
    ['has two faults', [1000, 1005]],
    ['has turned', [1000, 1005, 1020, 1010]],
    ['has one page that was asked for three times', [1000, 1000, 1000]],
  ])('that %s is no stream', (_, faults) => {
    const taken: number[] = [];
    afterFaults(...faults).bubbles.takeStreams(16, taken);
    expect(taken).toEqual([]);
  });

  test('grows where its last fault was, when it is large', () => {
    const scene = afterFaults(1000);
    take(scene, 512);
    fault(scene, 1280);
    expect(take(scene, 16)).toEqual(upFrom(1257, 16));
  });

  test('whose upper side has come to the end of memory grows on the lower one', () => {
    const scene = afterFaults(PAGES - 12, PAGES - 11, PAGES - 10);
    expect(take(scene, 32)).toEqual([...upFrom(PAGES - 9, 9), ...downFrom(PAGES - 13, 23)]);
  });

  test('does not grow over two MiB of which nothing is owed', () => {
    const scene = afterFaults(10_000);
    scene.owed.deleteRun(10_100, 512);
    scene.owed.deleteRun(9_388, 512);
    expect(take(scene, 1000).sort((a, b) => a - b)).toEqual([...upFrom(9_900, 100), ...upFrom(10_001, 99)]);
    expect(scene.bubbles.count).toBe(0);
  });

  test('grows over what somebody else took meanwhile', () => {
    const scene = afterFaults(1000);
    scene.owed.deleteRun(1001, 100);
    expect(take(scene, 16)).toEqual(upFrom(1101, 16));
  });

  test('ends when it had no fault lately, later when it had more', () => {
    const scene = afterFaults(1000, 50_000, 50_000);
    scene.bubbles.pass(1500);
    expect(scene.bubbles.count).toBe(1);
    scene.bubbles.pass(1500);
    expect(scene.bubbles.count).toBe(0);
  });
});

describe('bubbles', () => {
  test('that meet are one with all pages between, and with the weight of both', () => {
    const scene = afterFaults(1000, 1000, 1000, 1100, 1100, 1100);
    expect(scene.bubbles.count).toBe(2);
    const pages = take(scene, 320);
    expect(scene.bubbles.count).toBe(1);
    expect(new Set(pages).size).toBe(320);
    expect(pages.filter((page) => page > 1000 && page < 1100)).toHaveLength(99);
    fault(scene, 30_000);
    expect(take(scene, 224).filter((page) => page < 2000)).toHaveLength(192);
  });

  test.each([
    ['upper', 1000, 1100, (page: number) => page > 1100],
    ['lower', 1100, 1000, (page: number) => page < 1000],
  ])('that meet are one, which grows where the last fault was: on the %s side', (_, often, lately, isThere) => {
    const scene = afterFaults(often, often, often, often, lately);
    const between = 99;
    while (scene.bubbles.count > 1) take(scene, 1);
    expect(scene.owed.runs(1000, 1101)).toEqual([]);
    expect(take(scene, between - 16).every(isThere)).toBe(true);
  });

  test('take turns by how many faults they had', () => {
    const scene = afterFaults(1000, 1000, 1000, 20_000);
    const pages = take(scene, 256);
    expect(pages.filter((page) => page < 10_000)).toHaveLength(192);
    // The lighter one is not kept waiting until the heavier one has had all of its turns.
    expect(pages.slice(0, 64).some((page) => page > 10_000)).toBe(true);
  });

  test('take pages of new faults before those of old ones', () => {
    const scene = afterFaults(1000, 1000);
    scene.bubbles.pass(1024);
    fault(scene, 20_000, 20_000, 20_000);
    expect(take(scene, 256).filter((page) => page < 10_000)).toHaveLength(64);
  });

  test('are never more than a few, and the lightest goes', () => {
    const scene = afterFaults(...Array.from({ length: MAX_BUBBLES }, (_, i) => [i * 1000, i * 1000]).flat());
    scene.bubbles.pass(100);
    fault(scene, 60_000);
    expect(scene.bubbles.count).toBe(MAX_BUBBLES);
    fault(scene, 62_000);
    expect(scene.bubbles.count).toBe(MAX_BUBBLES);
    const pages = take(scene, 2000);
    expect(pages.some((page) => Math.abs(page - 60_000) < 500)).toBe(false);
    expect(pages.some((page) => Math.abs(page - 62_000) < 500)).toBe(true);
  });

  test('are never more than a few, wherever the faults are', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(PAGES - 1), { maxLength: 200 }), (pages) => {
        expect(afterFaults(...pages).bubbles.count).toBeLessThanOrEqual(MAX_BUBBLES);
      }),
    );
  });
});

test('what a step costs does not depend on how far it is to the next page that is owed', () => {
  let looks = 0;
  const owed = new PageBitmap(2 ** 24);
  const next = owed.next.bind(owed);
  owed.next = (from, to) => {
    looks += to! - from;
    return next(from, to);
  };
  owed.addRun(0, 16);
  const bubbles = new FaultBubbles(owed);
  bubbles.fault(2 ** 23);
  bubbles.take(16, []);
  expect(looks).toBeGreaterThan(0);
  expect(looks).toBeLessThan(2000);
});
