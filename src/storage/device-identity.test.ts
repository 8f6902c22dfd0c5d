/** Against directories like those of sysfs. */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, expect, test } from 'vitest';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { identifyDevice } from './device-identity.ts';

const NAA = 'naa.600508b1001c4d1e';

/** Files by their path, and devices 8:0, 8:1 … that are those directories. */
function namesIn(files: Readonly<Record<string, string>>, device: string): readonly string[] {
  using directory = new TempDirectory();
  const sysfs = (path: string): string => directory.join(path);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(sysfs(path)), { recursive: true });
    if (text.startsWith('->')) symlinkSync(sysfs(text.slice(2)), sysfs(path));
    else writeFileSync(sysfs(path), `${text}\n`);
  }
  mkdirSync(sysfs('dev/block'), { recursive: true });
  symlinkSync(sysfs(device), sysfs('dev/block/8:0'));
  return identifyDevice(8, 0, directory.path);
}

describe('the worldwide names of a device', () => {
  test.each<[string, Record<string, string>, string, string[]]>([
    ['a SCSI disk', { 'sda/device/wwid': NAA }, 'sda', [NAA]],
    [
      'an NVMe disk',
      { 'n1/wwid': 'uuid.6a0f6c5e-0000-4000-8000-000000000001' },
      'n1',
      ['uuid.6a0f6c5e-0000-4000-8000-000000000001'],
    ],
    ['a partition', { 'sda/device/wwid': NAA, 'sda/sda2/partition': '2' }, 'sda/sda2', [`${NAA} part 2`]],
    ['a disk with a serial number only', { 'sda/device/wwid': 't10.ATA     QEMU HARDDISK   QM00001' }, 'sda', []],
    ['a disk without any name', { 'sda/size': '8' }, 'sda', []],
    [
      'a logical volume',
      { 'dm-0/dm/uuid': 'LVM-abc', 'dm-0/slaves/sda': '->sda', 'sda/device/wwid': NAA },
      'dm-0',
      ['dm.LVM-abc', NAA],
    ],
    [
      'a logical volume on disks of which one has no name',
      {
        'dm-0/dm/uuid': 'LVM-abc',
        'dm-0/slaves/sda': '->sda',
        'dm-0/slaves/sdb': '->sdb',
        'sda/device/wwid': NAA,
        'sdb/size': '8',
      },
      'dm-0',
      [],
    ],
    ['a mapped device on nothing', { 'dm-0/dm/uuid': 'LVM-abc', 'dm-0/slaves/x/y': '' }, 'dm-0', []],
    [
      'an RBD image',
      {
        'rbd0/device/cluster_fsid': 'f',
        'rbd0/device/pool_id': '2',
        'rbd0/device/image_id': 'ab',
        'rbd0/device/current_snap': '-',
      },
      'rbd0',
      ['rbd.f.2.ab.-'],
    ],
  ])('of %s', (_, files, device, names) => {
    expect(namesIn(files, device)).toEqual(names.toSorted());
  });

  test('of one that is not there', () => {
    expect(identifyDevice(4095, 77)).toEqual([]);
  });
});
