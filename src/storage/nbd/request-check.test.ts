import { expect, test } from 'vitest';
import { NbdError } from './numbers.ts';
import { checkRequest } from './request-check.ts';

const FACTS = { name: '', bytes: 1_048_576, isReadOnly: false, minBlockBytes: 512 };
const AGREEMENT = { exportName: '', hasStructuredReplies: true, hasAllocation: true };
const PLAIN = { exportName: '', hasStructuredReplies: false, hasAllocation: false };
const [READ, WRITE, FLUSH, TRIM, CACHE, ZEROES, STATUS] = [0, 1, 3, 4, 5, 6, 7];

function errorOf(
  command: number,
  offset: number,
  bytes: number,
  flags = 0,
  facts = FACTS,
  agreement = AGREEMENT,
): number {
  const request = { command, flags, offset, bytes, cookieHigh: 0, cookieLow: 0, data: undefined };
  return checkRequest(request, facts, agreement)?.error ?? 0;
}

test.each([
  ['a read', READ, 0, 4096, 0, 0],
  ['a read of all', READ, 0, 1_048_576, 0, 0],
  ['a read of nothing at the end', READ, 1_048_576, 0, 0, 0],
  ['a read beyond the end', READ, 1_048_064, 1024, 0, NbdError.EINVAL],
  ['a read far beyond the end', READ, 2 ** 63, 512, 0, NbdError.EINVAL],
  ['a read that overflows', READ, 2 ** 64 - 512, 1024, 0, NbdError.EINVAL],
  ['a read over the limit', READ, 0, 33_554_944, 0, NbdError.EINVAL],
  ['a read off the blocks', READ, 1, 512, 0, NbdError.EINVAL],
  ['a read of half a block', READ, 0, 100, 0, NbdError.EINVAL],
  ['a write beyond the end', WRITE, 1_048_576, 512, 0, NbdError.ENOSPC],
  ['zeroes beyond the end', ZEROES, 512, 1_048_576, 0, NbdError.ENOSPC],
  ['a trim beyond the end', TRIM, 512, 1_048_576, 0, NbdError.EINVAL],
  ['a write with FUA', WRITE, 0, 512, 1, 0],
  ['a write with DF', WRITE, 0, 512, 4, NbdError.EINVAL],
  ['a read with DF', READ, 0, 512, 4, 0],
  ['zeroes, no hole, fast, durable', ZEROES, 0, 512, 19, 0],
  ['a flush', FLUSH, 0, 0, 0, 0],
  ['a flush of a range', FLUSH, 0, 512, 0, NbdError.EINVAL],
  ['a status of one', STATUS, 0, 512, 8, 0],
  ['a status of nothing', STATUS, 0, 0, 0, NbdError.EINVAL],
  ['a cache, which was not offered', CACHE, 0, 512, 0, NbdError.EINVAL],
  ['an unknown command', 77, 0, 512, 0, NbdError.EINVAL],
])('%s', (_name, command, offset, bytes, flags, error) => {
  expect(errorOf(command!, offset, bytes, flags)).toBe(error);
});

test.each([
  ['a write', WRITE, NbdError.EPERM],
  ['a trim', TRIM, NbdError.EPERM],
  ['zeroes', ZEROES, NbdError.EPERM],
  ['a read', READ, 0],
])('read-only: %s', (_name, command, error) => {
  expect(errorOf(command!, 0, 512, 0, { ...FACTS, isReadOnly: true })).toBe(error);
});

test('a status and DF need what was not agreed upon', () => {
  expect(errorOf(STATUS!, 0, 512, 0, FACTS, PLAIN)).toBe(NbdError.EINVAL);
  expect(errorOf(READ!, 0, 512, 4, FACTS, PLAIN)).toBe(NbdError.EINVAL);
});
