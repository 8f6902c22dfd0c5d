import { expect, test } from 'vitest';
import { addSample, type LiveSample, roundsSeen } from './live-samples.ts';

type Progress = Parameters<typeof addSample>[1];
const progress = (round: number, sentBytes: number): Progress => ({ round, sentBytes, remainingBytes: 7 }) as Progress;
const series = (...points: [round: number, sentBytes: number, atMs: number][]): readonly LiveSample[] =>
  points.reduce<readonly LiveSample[]>((all, [round, sent, atMs]) => addSample(all, progress(round, sent), atMs), []);

test('a round is what was sent from the end of the one before', () => {
  const rounds = roundsSeen(series([1, 0, 0], [1, 50, 10], [2, 60, 20], [2, 80, 30]));
  expect(rounds.map(({ number, bytes, ms }) => [number, bytes, ms])).toEqual([
    [1, 50, 10],
    [2, 30, 20],
  ]);
});

test('without samples there are no rounds', () => {
  expect(roundsSeen([])).toEqual([]);
});

test('however long it takes, memory is bounded and the latest sample is kept', () => {
  let samples: readonly LiveSample[] = [];
  for (let at = 0; at < 10_000; at++) samples = addSample(samples, progress(1, at), at);
  expect(samples.length).toBeLessThanOrEqual(2400);
  expect(samples.at(-1)!.atMs).toBe(9999);
  expect(samples[0]!.atMs).toBeLessThan(20);
});
