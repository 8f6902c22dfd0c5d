import { expect, test } from 'vitest';
import { addressesOf } from './addresses.ts';

const MAC = '52:54:00:00:00:01';
const nic = (addresses: readonly string[] = []) => ({ name: 'lan', bridge: 'br0', mac: MAC, mtu: 1500, addresses });

test('what neighbours have the address of the interface is added to what was known, once', () => {
  const neighbours = [
    { dst: 'fe80::1', lladdr: MAC },
    { dst: '10.0.0.7', lladdr: MAC },
    { dst: '10.0.0.8', lladdr: '52:54:00:00:00:02' },
    { dst: '10.0.0.9' },
  ];
  expect(addressesOf(nic(['10.0.0.7', '10.0.0.1']), neighbours)).toEqual(['10.0.0.7', '10.0.0.1', 'fe80::1']);
});

test('what is no plain address is left out, and there is an end', () => {
  const odd = ['fe80::1%eth0', '::ffff:10.0.0.1', 'somewhere'].map((dst) => ({ dst, lladdr: MAC }));
  const many = Array.from({ length: 40 }, (_, index) => ({ dst: `10.0.1.${index}`, lladdr: MAC }));
  expect(addressesOf(nic(), odd)).toEqual([]);
  expect(addressesOf(nic(['10.0.0.1']), many)).toHaveLength(16);
  expect(addressesOf(nic(['10.0.0.1']), many)).toContain('10.0.0.1');
});
