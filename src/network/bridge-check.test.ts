import { expect, test } from 'vitest';
import { judgeBridges } from './bridge-check.ts';

const BRIDGES = [
  { ifindex: 2, ifname: 'br0', flags: ['BROADCAST', 'UP', 'LOWER_UP'], mtu: 1500 },
  { ifindex: 3, ifname: 'jumbo', flags: ['UP'], mtu: 9000 },
  { ifindex: 4, ifname: 'idle', flags: ['BROADCAST', 'LOWER_UP'], mtu: 9000 },
];

test.each([
  ['br0', 1500],
  ['br0', 1400],
  ['jumbo', 9000],
  [null, 9000],
])('an interface in bridge %s with an MTU of %d can be plugged in', (bridge, mtu) => {
  expect(judgeBridges([{ bridge, mtu }], BRIDGES)).toEqual([]);
});

test.each([
  ['br1', 1500, /no bridge of that name/, 'make it: ip link add br1 type bridge; ip link set br1 up'],
  ['idle', 1500, /it is down/, 'take it into use: ip link set idle up'],
  ['br0', 1501, /its MTU on this host is 1500, and .* 1501 bytes/, /ip link set br0 mtu 1501, .* mtu: 1500$/],
])('one in bridge %s with an MTU of %d cannot', (bridge, mtu, reason, fix) => {
  const expected = typeof fix === 'string' ? fix : expect.stringMatching(fix);
  expect(judgeBridges([{ bridge, mtu }], BRIDGES)).toEqual([
    { id: 'bridge', what: `bridge ${bridge}`, reason: expect.stringMatching(reason), fix: expected },
  ]);
});

test('each interface that cannot is told', () => {
  const nics = [{ bridge: 'br1' }, { bridge: 'br0' }, { bridge: 'idle' }].map((nic) => ({ ...nic, mtu: 1500 }));
  expect(judgeBridges(nics, BRIDGES).map(({ what }) => what)).toEqual(['bridge br1', 'bridge idle']);
});
