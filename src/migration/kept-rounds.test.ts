import { expect, test } from 'vitest';
import { KEPT_FIRST_ROUNDS, KEPT_LAST_ROUNDS, keepRound } from './kept-rounds.ts';

test('the first rounds and the last ones are kept, and no more', () => {
  const rounds: number[] = [];
  for (let number = 1; number <= 10_000; number++) keepRound(rounds, number);
  expect(rounds).toHaveLength(KEPT_FIRST_ROUNDS + KEPT_LAST_ROUNDS);
  expect(rounds.slice(KEPT_FIRST_ROUNDS - 1, KEPT_FIRST_ROUNDS + 1)).toEqual([100, 10_001 - KEPT_LAST_ROUNDS]);
  expect(rounds.at(-1)).toBe(10_000);
});
