import { expect, test } from 'vitest';
import { parseInput } from './input-error.ts';
import { completeNic } from './nic-schema.ts';
import { VmSpecSchema } from './vm-schema.ts';

const complete = (nics: unknown) =>
  parseInput(VmSpecSchema, { name: 'web', memory: '64MiB', nics }).nics.map(completeNic);

const DEFAULTS = { name: 'nic0', mac: 'auto', model: 'virtio-net-pci', mtu: null };

test.each([
  ['a text names the bridge', 'br0', { ...DEFAULTS, bridge: 'br0' }],
  ['the text user stands for no bridge', 'user', { ...DEFAULTS, bridge: null }],
  ['an object may say no more than the bridge', { bridge: 'br-lan.7' }, { ...DEFAULTS, bridge: 'br-lan.7' }],
  ['a bridge named user is asked for in an object', { bridge: 'user' }, { ...DEFAULTS, bridge: 'user' }],
  ['no bridge may be asked for in an object', { user: true, mtu: 1400 }, { ...DEFAULTS, bridge: null, mtu: 1400 }],
  [
    'all can be given, addresses in capitals, too',
    { bridge: 'br0', mac: '52:54:00:AB:CD:EF', name: 'lan', model: 'e1000e', mtu: 9000 },
    { name: 'lan', bridge: 'br0', mac: '52:54:00:ab:cd:ef', model: 'e1000e', mtu: 9000 },
  ],
])('%s', (_, given, nic) => {
  expect(complete([given])).toEqual([nic]);
});

test('interfaces without a name are counted', () => {
  expect(complete(['br0', { bridge: 'br1', name: 'lan' }, 'user']).map(({ name }) => name)).toEqual([
    'nic0',
    'lan',
    'nic2',
  ]);
});

const MAC_FIX = 'give auto, or an address of one interface such as 52:54:00:12:34:56';
const WHICH_FIX = 'give either bridge: NAME or user: true';
const FORM_FIX =
  'give the name of a bridge, user, or an object with bridge or user, mac, name, ' +
  'model (virtio-net-pci, e1000e, e1000, rtl8139), mtu';
const UNIQUE_FIX = 'give each interface of a VM a name and an address of its own';

test.each([
  [[{ bridge: 'br0', user: true }], 'nics[0]', WHICH_FIX],
  [[{ mac: 'auto' }], 'nics[0]', WHICH_FIX],
  [[{ user: false }], 'nics[0]', WHICH_FIX],
  [[{ bridge: 'br0', mac: '52:54:00:12:34' }], 'nics[0].mac', MAC_FIX],
  [[{ bridge: 'br0', mac: '53:54:00:12:34:56' }], 'nics[0].mac', MAC_FIX],
  [[{ bridge: 'br0', mac: '00:00:00:00:00:00' }], 'nics[0].mac', MAC_FIX],
  [[{ bridge: '-rf' }], 'nics[0].bridge', 'give the name of a bridge of the host, such as br0, or user'],
  [[{ bridge: 'br0', mtu: 10 }], 'nics[0].mtu', 'give a number of bytes from 68 to 65535'],
  [[{ bridge: 'br0', model: 'ne2k' }], 'nics[0]', FORM_FIX],
  [
    [{ bridge: 'br0', colour: 'red' }],
    'nics[0].colour',
    'remove it, or use one of bridge, user, mac, name, model, mtu',
  ],
  [['br0', { bridge: 'br1', name: 'nic0' }], 'nics[1]', UNIQUE_FIX],
  [
    [
      { bridge: 'br0', mac: '52:54:00:00:00:01' },
      { bridge: 'br1', mac: '52:54:00:00:00:01' },
    ],
    'nics[1]',
    UNIQUE_FIX,
  ],
  [Array.from({ length: 9 }, () => 'br0'), 'nics', 'give at most 8'],
])('%j is refused', (nics, field, fix) => {
  expect(() => complete(nics)).toThrow(
    expect.objectContaining({ code: 'GW_INPUT_INVALID', details: expect.objectContaining({ field, fix }) }),
  );
});
