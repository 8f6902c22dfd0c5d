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
