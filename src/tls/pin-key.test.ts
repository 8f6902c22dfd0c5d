import { expect, test } from 'vitest';
import { pinKey } from './pin-key.ts';

test.each([
  ['Host-B.Example', 'host-b.example'],
  ['FD00:0:0:0:0:0:0:1', 'fd00::1'],
  ['fd00::0001', 'fd00::1'],
  ['10.0.0.2', '10.0.0.2'],
])('%s is %s', (host, same) => {
  expect(pinKey(host, 7710)).toBe(pinKey(same, 7710));
});

test('other hosts and ports are other keys', () => {
  const keys = [pinKey('a', 1), pinKey('b', 1), pinKey('a', 2), pinKey('fd00::1', 1), pinKey('fd00::2', 1)];
  expect(new Set(keys).size).toBe(keys.length);
});
