import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PageWants } from './page-wants.ts';

const all = (): boolean => true;

test('one request at a time, of at most 16 pages; the next when all of it is here', () => {
  const wants = new PageWants();
  expect(wants.next(all)).toBeUndefined();
  wants.add([{ first: 100, count: 20 }]);
  expect(wants.next(all)).toEqual({ first: 100, count: 16 });
  expect(wants.next(all)).toBeUndefined();
  expect(wants.next((page) => page >= 115)).toBeUndefined();
  expect(wants.next((page) => page >= 117)).toEqual({ first: 117, count: 3 });
  expect(wants.next(() => false)).toBeUndefined();
});

test('on a new connection what was asked for is asked for again', () => {
  const wants = new PageWants();
  wants.add([
    { first: 1, count: 1 },
    { first: 9, count: 1 },
  ]);
  expect(wants.next(all)).toEqual({ first: 1, count: 1 });
  wants.restart();
  expect(wants.next(all)).toEqual({ first: 1, count: 1 });
  expect(wants.next((page) => page === 9)).toEqual({ first: 9, count: 1 });
});

test('every page that is missing is asked for in the end, whatever else brings pages meanwhile', () => {
  const runs = fc.array(fc.record({ first: fc.nat(300), count: fc.integer({ min: 1, max: 40 }) }), { maxLength: 8 });
  fc.assert(
    fc.property(runs, fc.array(fc.nat(340)), fc.array(fc.boolean()), (wanted, others, losses) => {
      const wants = new PageWants();
      const missing = new Set<number>();
      const isMissing = (page: number): boolean => missing.has(page);
      for (const { first, count } of wanted) for (let page = first; page < first + count; page++) missing.add(page);
      wants.add(wanted);
      for (let turn = 0; missing.size > 0 && turn < 1000; turn++) {
        missing.delete(others[turn] ?? -1);
        const run = wants.next(isMissing);
        if (losses[turn]) wants.restart();
        else if (run) for (let page = run.first; page < run.first + run.count; page++) missing.delete(page);
      }
      expect([...missing]).toEqual([]);
    }),
  );
});
