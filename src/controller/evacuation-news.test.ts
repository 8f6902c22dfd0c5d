/** What is told of evacuations, how often, and in which order. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { EvacuationView } from '../api/evacuation-schema.ts';
import { GodwitError } from '../base/errors.ts';
import { EvacuationNews } from './evacuation-news.ts';

const viewOf = (id: string, predictedMs: number, endedAtMs: number | null = null): EvacuationView =>
  ({ id, predictedMs, endedAtMs }) as EvacuationView;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** @param read - what the store answers, one after the other */
function begin(read: readonly (EvacuationView | GodwitError | Error)[] = []) {
  const told: unknown[] = [];
  const failed: string[] = [];
  const answers = [...read];
  const news = new EvacuationNews({
    tell: ({ id, predictedMs }) => void told.push([id, predictedMs]),
    read: async () => {
      const answer = answers.shift();
      if (answer instanceof Error) throw answer;
      return answer;
    },
    failed: (_id, reason) => void failed.push(reason),
  });
  return { news, told, failed };
}

const SILENT = new GodwitError('GW_STORE_UNAVAILABLE', { store: 'NATS', reason: 'no answer' });

test('many changes in a moment are told once, as it is then; its end at once, and last', async () => {
  const { news, told } = begin([viewOf('e1', 99)]);
  for (const predictedMs of [1, 2, 3]) news.changed(viewOf('e1', predictedMs));
  news.changed(viewOf('e2', 4));
  expect(told).toEqual([]);
  await vi.advanceTimersByTimeAsync(100);
  expect(told).toEqual([
    ['e1', 3],
    ['e2', 4],
  ]);
  news.changed(viewOf('e1', 5));
  news.changed(viewOf('e1', 6, 1000));
  expect(told.slice(2)).toEqual([['e1', 6]]);
  // What is heard then are the writes that it told of itself.
  news.heardOf('e1');
  await vi.advanceTimersByTimeAsync(1000);
  expect(told).toHaveLength(3);
});

test('what another one writes is read once for many writes, and again when the store was silent', async () => {
  const { news, told, failed } = begin([SILENT, viewOf('e1', 7, 1000)]);
  for (let write = 0; write < 3; write++) news.heardOf('e1');
  await vi.advanceTimersByTimeAsync(500);
  expect(told).toEqual([]);
  await vi.advanceTimersByTimeAsync(1000);
  expect(told).toEqual([['e1', 7]]);
  expect(failed).toEqual([]);
});

test('what is wrong with a record is told, and not taken for a silent store', async () => {
  const { news, told, failed } = begin([new Error('it is none')]);
  news.heardOf('e1');
  await vi.advanceTimersByTimeAsync(5000);
  expect([told, failed]).toEqual([[], ['it is none']]);
});

test('what was to be told is told at the end', () => {
  const { news, told } = begin();
  news.changed(viewOf('e1', 1));
  news[Symbol.dispose]();
  expect(told).toEqual([['e1', 1]]);
});
