import { expect, test } from 'vitest';
import { findUpgradeBlockers } from './upgrade-blockers.ts';

function blockersOf(line: string, more: Partial<Parameters<typeof findUpgradeBlockers>[0]> = {}) {
  const args = line.split(' ');
  return findUpgradeBlockers({ args, ownTaps: new Set(['gwn0']), blockers: [], hasBlockServer: false, ...more });
}

const CACHE = { id: 'unsafe-cache', what: 'disk0', reason: 'cache=unsafe', fix: 'none' };
const GROUP = { id: 'shared-memory', what: 'bus', reason: 'a group', fix: 'none' };

test.each([
  ['-machine q35 -netdev user,id=n0 -device virtio-net-pci,netdev=n0', []],
  ['-netdev tap,id=n0,ifname=gwn0,script=no,downscript=no', []],
  ['-netdev user,id=n0,hostfwd=tcp::2222-:22', ['port-forwarding']],
  ['-nic user,hostfwd=tcp::2222-:22', ['port-forwarding']],
  ['-netdev tap,id=n0,ifname=tap0,script=no', ['held-interface']],
  ['-device loader,addr=0x1000,data=1,data-len=4', ['loader']],
] as const)('%s: %o', (line, ids) => {
  const found = blockersOf(line);
  expect(found.map(({ id }) => id)).toEqual(ids);
  expect(found.every(({ reason, fix }) => reason.length > 10 && fix.length > 10)).toBe(true);
});

test('what keeps a VM from another host keeps it here, but for what only concerns two hosts', () => {
  expect(blockersOf('-S', { blockers: [CACHE, GROUP] })).toEqual([GROUP]);
});

test('disks of the block server', () => {
  expect(blockersOf('-S', { hasBlockServer: true })).toMatchObject([{ id: 'block-server' }]);
});
