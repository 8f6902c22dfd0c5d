import { describe, expect, test } from 'vitest';
import { type OfferedDisk, offeredDisk, readyDisk } from './disk-messages.ts';

const DISK: OfferedDisk = {
  name: 'virtio-disk0',
  path: '/images/a',
  format: 'raw',
  readonly: false,
  virtualBytes: 512,
  image: { kind: 'file', inode: '12', bytes: 512, identity: [] },
  token: { name: '.godwit-0123456789abcdef', hash: 'a'.repeat(64) },
  backing: [{ path: '/images/base', bytes: 512 }],
};

describe('an offered disk', () => {
  test('goes through', () => {
    expect(offeredDisk.parse(DISK)).toEqual(DISK);
  });

  test.each<[string, object]>([
    ['a token that is another file', { token: { name: '../etc/shadow', hash: 'a'.repeat(64) } }],
    ['a token in a directory', { token: { name: '.godwit-0123456789abcde/', hash: 'a'.repeat(64) } }],
    ['a hash that is none', { token: { name: '.godwit-0123456789abcdef', hash: 'a' } }],
    ['a path with NUL', { path: '/a\0' }],
    ['an inode that is none', { image: { ...DISK.image, inode: '-1' } }],
    ['too many names', { image: { ...DISK.image, identity: new Array(65).fill('naa.1') } }],
    ['too many backing images', { backing: new Array(65).fill(DISK.backing[0]) }],
    ['a size below nothing', { virtualBytes: -1 }],
    ['something more', { other: 1 }],
  ])('does not with %s', (_, changes) => {
    expect(offeredDisk.safeParse({ ...DISK, ...changes }).success).toBe(false);
  });
});

test('an answer is a token or none', () => {
  expect(readyDisk.safeParse({ name: 'd', token: null }).success).toBe(true);
  expect(readyDisk.safeParse({ name: 'd', token: 'the words of a file' }).success).toBe(false);
});
