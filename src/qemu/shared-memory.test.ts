import { expect, test } from 'vitest';
import { parseArguments } from './arguments.ts';
import { distinctRegions, findSharedFiles, findSharedIds, regionFileName, regionNameOf } from './shared-memory.ts';

test.each([
  ['/dev/shm/godwit-region-0123abcd-bus.1', 'bus.1'],
  ['/dev/shm/godwit-region-0123abcd-bus (deleted)', 'bus'],
  ['/dev/shm/godwit-region-bus', 'godwit-region-bus'],
  ['/dev/shm/ivshmem web', 'ivshmem_web'],
  ['/dev/shm/.hidden', 'hidden'],
  ['/dev/shm/…', 'shared'],
  [`/dev/shm/${'x'.repeat(100)}`, 'x'.repeat(63)],
])('the region in %s is named %s', (path, name) => {
  expect(regionNameOf(path)).toBe(name);
});

test("a region's file leads back to its name", () => {
  expect(regionNameOf(`/dev/shm/${regionFileName('0123abcd', 'bus-1_x.y')}`)).toBe('bus-1_x.y');
});

test('of a command line only what stands behind an ivshmem-plain device is shared', () => {
  const args = parseArguments([
    ...['-object', 'memory-backend-file,id=ram0,size=1G,mem-path=/dev/shm/ram', '-device', 'virtio-rng-pci'],
    ...['-device', '{"driver":"ivshmem-plain","memdev":"b"}', '-device', 'ivshmem-doorbell,chardev=c,id=d'],
    ...['-object', '{"qom-type":"memory-backend-file","id":"b","mem-path":"/dev/shm/b"}'],
    ...['-object', 'memory-backend-ram,id=a,size=1M', '-device', 'ivshmem-plain,memdev=a'],
  ]);
  expect([...findSharedIds(args)]).toEqual(['b', 'a']);
  expect(findSharedFiles(args)).toEqual([{ id: 'b', path: '/dev/shm/b' }]);
});

test('two devices with one file are one region', () => {
  const region = { id: 'a', name: 'n', bytes: 1, hostAddress: 0n, fdPath: '', path: '', device: '00:1b', inode: 5 };
  const regions = [region, { ...region, id: 'b' }, { ...region, id: 'c', inode: 6 }];
  expect(distinctRegions(regions).map(({ id }) => id)).toEqual(['a', 'c']);
});
