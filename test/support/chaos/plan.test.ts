import { expect, test } from 'vitest';
import { ChaosPlan, describeRound } from './plan.ts';

const VMS = ['x', 'y', 'z'];

function rounds(seed: number): string[] {
  const plan = new ChaosPlan(seed, VMS);
  return Array.from({ length: 20 }, () => describeRound(plan.next()));
}

test('the same seed gives the same rounds, another one others', () => {
  expect(rounds(7)).toEqual(rounds(7));
  expect(rounds(8)).not.toEqual(rounds(7));
});

test('every kind of fault and every mode comes, and a round has moves and faults', () => {
  const plan = new ChaosPlan(1, VMS);
  const all = Array.from({ length: 200 }, () => plan.next());
  expect(all.every(({ moves, faults }) => moves.length > 0 && faults.length > 0)).toBe(true);
  expect(new Set(all.flatMap(({ faults }) => faults.map(({ kind }) => kind))).size).toBe(7);
  expect(new Set(all.flatMap(({ moves }) => moves.map(({ request }) => request.mode))).size).toBeGreaterThanOrEqual(4);
});
