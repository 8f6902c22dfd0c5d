/** The addresses of host ends, beside those of bridges and guests. */
import { expect, test } from 'vitest';
import { tapAddress } from './taps.ts';

test.each([
  ['52:54:00:12:34:56', '02:00:00:00:00:01', 'fe:54:00:12:34:56'],
  ['fe:54:00:12:34:56', '02:00:00:00:00:01', 'fa:54:00:12:34:56'],
  // A bridge takes the lowest address of its ports, and must not come to have another one.
  ['52:54:00:12:34:56', 'fe:fe:00:00:00:01', 'fe:ff:ff:12:34:56'],
  ['fe:54:00:12:34:56', 'fb:00:00:00:00:01', 'fe:ff:ff:12:34:56'],
  ['fe:ff:ff:12:34:56', 'fb:00:00:00:00:01', 'fa:ff:ff:12:34:56'],
])('guest %s in bridge %s: %s', (guest, bridge, address) => {
  expect(tapAddress(guest, bridge)).toBe(address);
});
