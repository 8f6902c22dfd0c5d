import { expect, test } from 'vitest';
import { completeId } from './migration-id.ts';

const KNOWN = ['0a1b2c3d', '0a1b9999', 'ffff0000', 'ffff0000-2'];

test.each([
  ['0a1b2c3d', '0a1b2c3d'],
  ['0a1b2', '0a1b2c3d'],
  // Known as it is, though it is also the beginning of another.
  ['ffff0000', 'ffff0000'],
  ['ffff0000-', 'ffff0000-2'],
  ['0a1', '0a1'],
  ['', ''],
  ['1234', '1234'],
])('%s means %s', (given, meant) => {
  expect(completeId(given, KNOWN)).toBe(meant);
});

test('what fits several is refused', () => {
  expect(() => completeId('0a1b', KNOWN)).toThrow(
    'id: 0a1b is not valid: give more of it: 0a1b2c3d, 0a1b9999 begin with it',
  );
});

test('one that is known twice, by its migration and by an earlier report of it, is one', () => {
  const id = '9a75991b-d1ab-4d8c-9ba5-b00f44c26fae';
  expect(completeId('9a75', [id, id])).toBe(id);
});
