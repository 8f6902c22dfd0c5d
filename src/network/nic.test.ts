import { expect, test } from 'vitest';
import { attach, type Nic, offerNics, readNics, requireNicsFeature, tapsOf } from './nic.ts';

const LAN: Nic = {
  name: 'lan',
  bridge: 'br0',
  mac: '52:54:00:00:00:01',
  mtu: 1500,
  addresses: ['10.0.0.7', 'fe80::1'],
};
const USER: Nic = { name: 'nic1', bridge: null, mac: '52:54:00:00:00:02', mtu: 1500, addresses: [] };

test('what is offered is read again, without what is of the other host', () => {
  const offered = offerNics(attach([LAN, USER], '01234567'));
  expect(readNics(JSON.parse(JSON.stringify(offered)))).toEqual([LAN, USER]);
});

test('a VM without interfaces says nothing of them, and who says nothing has none', () => {
  expect(offerNics([])).toEqual({});
  expect(readNics({})).toEqual([]);
});

test('a host that knows nothing of bridges gets no VM that has one', () => {
  const older = { host: 'b', features: ['disks'] };
  const refused = {
    code: 'GW_MIGRATION_REFUSED',
    message: expect.stringContaining('would plug lan (br0) into no bridge'),
  };
  expect(() => requireNicsFeature('web1', [USER, LAN], older)).toThrow(expect.objectContaining(refused));
  requireNicsFeature('web1', [USER], older);
  requireNicsFeature('web1', undefined, older);
  requireNicsFeature('web1', [LAN], { host: 'b', features: ['nics'] });
});

test('the name of a tap tells VM and interface, and fits into the 15 bytes of a name', () => {
  const nics = attach([USER, LAN], '0123456f');
  expect(tapsOf(nics)).toEqual(new Map([['lan', 'gw0123456fn1']]));
});

test.each([
  ['no list', LAN],
  ['too many', Array.from({ length: 9 }, () => LAN)],
  ['something else', ['br0']],
  ['a name that is an option', [{ ...LAN, name: '-x' }]],
  ['a name with a comma', [{ ...LAN, name: 'a,b' }]],
  ['a bridge with a space', [{ ...LAN, bridge: 'br0 up' }]],
  ['a bridge that is an option', [{ ...LAN, bridge: '-force' }]],
  ['an address of a group', [{ ...LAN, mac: '53:54:00:00:00:01' }]],
  ['an address in capitals', [{ ...LAN, mac: '52:54:00:00:00:AA' }]],
  ['an MTU of no packet', [{ ...LAN, mtu: 10 }]],
  ['an MTU that is no number', [{ ...LAN, mtu: '1500' }]],
  ['an address that is none', [{ ...LAN, addresses: ['10.0.0.7/8'] }]],
  ['too many addresses', [{ ...LAN, addresses: Array.from({ length: 17 }, () => '10.0.0.7') }]],
])('an offer with %s is refused', (_, nics) => {
  expect(() => readNics({ nics })).toThrow(expect.objectContaining({ code: 'GW_WIRE_FRAME_INVALID' }));
});
