import { expect, test } from 'vitest';
import { findSurroundingBlockers, findUpgradeBlockers } from './upgrade-blockers.ts';

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

const OURS = { uid: 0, gid: 0, cgroups: '0::/system.slice/godwit.service', namespaces: ['mnt:[1]', 'net:[2]'] };

test.each([
  ['nothing', {}, [], []],
  ['another user', { uid: 64055 }, ['other-user'], ['other-user']],
  ['another group', { gid: 64055 }, ['other-user'], ['other-user']],
  ['a network of its own', { namespaces: ['mnt:[1]', 'net:[9]'] }, ['other-namespaces'], []],
  ['limits of its own', { cgroups: '0::/machine.slice/web.scope' }, ['other-cgroup'], []],
] as const)('a QEMU that has %s', (_, differs, adopted, started) => {
  const old = { ...OURS, ...differs };
  const found = findSurroundingBlockers({ args: [], old, ours: OURS, adopted: true });
  expect(found.map(({ id }) => id)).toEqual(adopted);
  expect(findSurroundingBlockers({ args: [], old, ours: OURS, adopted: false }).map(({ id }) => id)).toEqual(started);
  expect(found.every(({ fix }) => fix.includes('start it again'))).toBe(true);
});

test('a QEMU that was told to become another user becomes that user again', () => {
  const question = { old: { ...OURS, uid: 64055 }, ours: OURS, adopted: true };
  expect(findSurroundingBlockers({ ...question, args: ['-runas', 'libvirt-qemu'] })).toEqual([]);
});
