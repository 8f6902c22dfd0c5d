import { expect, test } from 'vitest';
import type { MemoryMapping } from '../linux/process.ts';
import { joinMappings } from './ram.ts';
import { findInTree } from './ram-address.ts';

const mapping = (start: bigint, end: bigint, changes: Partial<MemoryMapping> = {}): MemoryMapping => ({
  start,
  end,
  permissions: 'rw-s',
  offset: 0,
  device: '00:1b',
  inode: 2,
  path: '/dev/shm/a (deleted)',
  ...changes,
});

test('pieces of one file are joined', () => {
  const pieces = [mapping(0x1000n, 0x2000n), mapping(0x2000n, 0x4000n, { offset: 0x1000 })];
  expect(joinMappings(pieces)).toMatchObject([{ start: 0x1000n, end: 0x4000n, inode: 2 }]);
});

test('neighbours of different files are not joined', () => {
  const pieces = [mapping(0x1000n, 0x2000n), mapping(0x2000n, 0x3000n, { inode: 3 })];
  expect(joinMappings(pieces)).toHaveLength(2);
});

test('private and anonymous mappings are left out', () => {
  const pieces = [mapping(0x1000n, 0x2000n, { permissions: 'rw-p' }), mapping(0x3000n, 0x4000n, { inode: 0 })];
  expect(joinMappings(pieces)).toEqual([]);
});

const TREE = [
  'FlatView #0',
  ' Root memory region: system',
  '  0000000000000000-000000000009ffff (prio 0, ram): ram1 KVM',
  '  00000000000c3000-00000000000e7fff (prio 0, rom): ram0 @00000000000c3000',
  '  0000000000100000-0000000007ffffff (prio 0, ram): ram0 @0000000000100000 KVM',
].join('\r\n');

test.each([
  ['ram0', { guestAddress: 0xc3000n, offset: 0xc3000n }],
  ['ram1', { guestAddress: 0n, offset: 0n }],
  ['ram', undefined],
])('the place of %s is found in the memory tree', (id, wanted) => {
  expect(findInTree(TREE, id)).toEqual(wanted);
});
