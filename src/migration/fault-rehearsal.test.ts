import { expect, test } from 'vitest';
import { FaultRehearsal } from './fault-rehearsal.ts';

/** Requests that are rehearsed over a way of so many milliseconds, and how long that takes. */
function rehearse(rehearsal: FaultRehearsal, roundTripMs: number, fromMs = 0): { rounds: number; ms: number } {
  let rounds = 0;
  let nowMs = fromMs;
  for (; rehearsal.next(rounds, nowMs); rounds++) nowMs += roundTripMs;
  return { rounds, ms: nowMs - fromMs };
}

test('it is long enough for the code where hosts are near, and short where they are far', () => {
  expect(rehearse(new FaultRehearsal(1000), 0.2).rounds).toBe(60);
  expect(rehearse(new FaultRehearsal(1000), 60).ms).toBeLessThanOrEqual(120);
});

test('on the connection that comes after a loss nothing is rehearsed', () => {
  const rehearsal = new FaultRehearsal(1000);
  expect([rehearsal.next(0, 0), rehearsal.next(1, 5)]).not.toContain(undefined);
  // The first one was lost in the middle of it.
  expect(rehearsal.next(0, 10)).toBeUndefined();
  expect(rehearse(rehearsal, 0.2, 5000).rounds).toBe(0);
});

test('the first ones are as large as answers with their neighbourhoods', () => {
  const rehearsal = new FaultRehearsal(1000);
  expect([0, 1, 2, 3, 4].map((done) => rehearsal.next(done, 0)?.count)).toEqual([16, 16, 16, 16, 1]);
  expect(new FaultRehearsal(8).next(0, 0)?.count).toBe(8);
});
