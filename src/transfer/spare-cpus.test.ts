import { expect, test } from 'vitest';
import { FakeClock } from '../base/clock.ts';
import { SpareCpus } from './spare-cpus.ts';

test('what is idle and what packing has, over the last moments', () => {
  const clock = new FakeClock();
  let idleMs = 5000;
  let packingMs = 0;
  let reads = 0;
  const read = () => {
    reads++;
    return idleMs;
  };
  const spare = new SpareCpus(read, () => packingMs, 1.5, clock);
  const pass = (ms: number, idle: number, packing: number) => {
    clock.advance(ms);
    idleMs += ms * idle;
    packingMs += ms * packing;
  };
  expect(spare.measure()).toBe(1.5);
  pass(200, 1.2, 0);
  expect(spare.measure()).toBeCloseTo(1.2);
  pass(100, 0.3, 0.8);
  expect(spare.measure()).toBeCloseTo(1.1);
  const before = reads;
  for (let i = 0; i < 50; i++) {
    pass(1, 0, 0);
    expect(spare.measure()).toBeCloseTo(1.1);
  }
  expect(reads).toBe(before);
  pass(100, 0, 0);
  expect(spare.measure()).toBe(0);
});
