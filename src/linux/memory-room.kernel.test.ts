import { statfsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { findShortages } from './memory-room.ts';

const PLACE = { ramPath: '/dev/shm/godwit-x', promisedBytes: 0 };

test('a little fits, and far too much fits neither into the file system nor into memory', () => {
  expect(findShortages({ ...PLACE, ramBytes: 2 ** 20 })).toEqual([]);
  expect(findShortages({ ...PLACE, ramBytes: 2 ** 50 })).toMatchObject([
    { resource: 'room in /dev/shm', needed: '1024 TiB' },
    { resource: 'memory', needed: '1024 TiB' },
  ]);
});

test('what is promised to others is not there any more', () => {
  const { bavail, bsize } = statfsSync('/dev/shm');
  const found = findShortages({ ...PLACE, ramBytes: 2 ** 20, promisedBytes: bavail * bsize + 2 ** 40 });
  expect(found[0]).toMatchObject({
    resource: expect.stringMatching(/^room in \/dev\/shm \(beside 1\..+ TiB for VMs on their way here\)$/),
    available: '0 B',
  });
});

test('memory to be shared counts, and is named', () => {
  expect(findShortages({ ...PLACE, ramBytes: 2 ** 20, sharedBytes: 2 ** 50 })).toMatchObject([
    { resource: 'room in /dev/shm', needed: '1024 TiB (1024 TiB of it to be shared with other VMs)' },
    { resource: 'memory' },
  ]);
});
