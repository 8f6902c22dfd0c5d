import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { decodeValue, encodeValue } from './nats-value.ts';

test.each([1, 100_000])('%i characters come back, the many in fewer bytes', (length) => {
  const value = { text: 'x'.repeat(length) };
  const bytes = encodeValue(value);
  expect(decodeValue(bytes)).toEqual(value);
  expect(bytes.length).toBeLessThan(65_536);
});

test.each([
  ['no JSON', Buffer.from('{')],
  ['half of something packed', gzipSync('{}').subarray(0, 12)],
  ['a megabyte that would be a gigabyte', gzipSync(Buffer.alloc(80 * 1024 * 1024))],
])('what no controller has written is told, not taken: %s', (_, bytes) => {
  const refused = expect.objectContaining({
    code: 'GW_STORE_UNAVAILABLE',
    message: expect.stringContaining('no controller has written'),
  });
  expect(() => decodeValue(bytes)).toThrow(refused);
});
