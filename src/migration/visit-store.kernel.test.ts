// The budget of what VMs leave behind, and what a process that was killed has half written.
import { existsSync, mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { VisitStore } from './visit-store.ts';

const MIB = 2 ** 20;
const uuid = (number: number): string => `00000000-0000-0000-0000-${String(number).padStart(12, '0')}`;
const numbers = (store: VisitStore): number[] => store.list().map((visit) => Number(visit.uuid.slice(-12)));

let directory: TempDirectory;
let at = 0;
beforeEach(() => {
  directory = new TempDirectory();
});
afterEach(() => directory[Symbol.dispose]());

function open(budgetBytes: number): VisitStore {
  return new VisitStore({ directory: directory.join('visits'), budgetBytes });
}

/** As a VM that leaves does. */
function leave(store: VisitStore, number: number, bytes: number): boolean {
  const paths = store.begin(uuid(number), bytes);
  if (!paths) return false;
  writeFileSync(paths.imagePath, Buffer.alloc(bytes, 1));
  writeFileSync(paths.indexPath, '');
  utimesSync(paths.indexPath, ++at, at);
  store.shrink();
  return true;
}

test('the oldest goes first, and a VM has one visit', () => {
  const store = open(3 * MIB);
  for (const number of [1, 2, 3]) expect(leave(store, number, MIB)).toBe(true);
  expect(numbers(store)).toEqual([3, 2, 1]);
  expect(leave(store, 1, MIB)).toBe(true);
  expect(numbers(store)).toEqual([1, 3, 2]);
  expect(leave(store, 4, MIB)).toBe(true);
  expect(numbers(store)).toEqual([4, 1, 3]);
});

test('one that is larger than the budget is not kept, and the one before of this VM neither', () => {
  const store = open(2 * MIB);
  leave(store, 1, MIB);
  leave(store, 2, MIB);
  expect(leave(store, 2, 3 * MIB)).toBe(false);
  expect(numbers(store)).toEqual([1]);
});

test('at the start what is half written goes, and what a smaller budget has no room for', () => {
  const store = open(3 * MIB);
  for (const number of [1, 2, 3]) leave(store, number, MIB);
  store.begin(uuid(4), 1);
  mkdirSync(directory.join('visits/not-a-visit'));
  open(2 * MIB).tidy();
  expect(readdirSync(directory.join('visits')).sort()).toEqual([uuid(2), uuid(3), 'not-a-visit'].sort());
  open(0).tidy();
  expect(numbers(store)).toEqual([]);
});

test('a name that is none of a VM reaches no file', () => {
  const store = open(MIB);
  mkdirSync(directory.join('elsewhere'));
  store.remove('../elsewhere');
  expect(store.begin('../elsewhere', 1)).toBeUndefined();
  expect(existsSync(join(directory.path, 'elsewhere'))).toBe(true);
});

test('whatever comes and goes, the budget is kept', () => {
  const step = fc.record({ number: fc.nat(6), kibibytes: fc.integer({ min: 4, max: 900 }), removes: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
      const store = open(MIB);
      for (const { number, kibibytes, removes } of steps) {
        if (removes) store.remove(uuid(number));
        else leave(store, number, kibibytes * 1024);
        expect(store.list().reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThanOrEqual(MIB);
        if (!removes) expect(numbers(store)[0]).toBe(number);
      }
    }),
    { numRuns: 30 },
  );
});
