import { expect, test } from 'vitest';
import { parseFaults, passFaultPoint } from './fault-points.ts';

test.each<[string, number[]]>([
  ['', []],
  ['journalAppend', [1]],
  ['journalAppend:5', [5]],
  ['journalAppend:2, journalAppend:3', [2, 3]],
  ['unknown:2,journalAppend:0,journalAppend:x', []],
])('%j orders %j', (text, expected) => {
  expect([...(parseFaults(text).get('journalAppend') ?? [])]).toEqual(expected);
});

test('nothing fails that was not ordered', () => {
  expect(() => passFaultPoint('pageAnswer')).not.toThrow();
});
