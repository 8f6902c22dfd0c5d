import { describe, expect, test } from 'vitest';
import { describeDisks, imagePathOf } from './disk-facts.ts';

describe('a disk', () => {
  test('as QEMU tells of it', () => {
    const image = {
      filename: '/i/top',
      'virtual-size': 4096,
      'backing-image': {
        filename: '/i/mid',
        'virtual-size': 4096,
        'backing-image': { filename: '/i/base', 'virtual-size': 1 },
      },
    };
    const inserted = { file: '/i/top', drv: 'qcow2', ro: false, 'node-name': 'disk0', image };
    const qdev = '/machine/peripheral/virtio-disk0/virtio-backend';
    expect(describeDisks([{ device: '', qdev, inserted }])).toMatchObject([
      { id: 'virtio-disk0', node: 'disk0', image: '/i/top', virtualBytes: 4096, backing: ['/i/mid', '/i/base'] },
    ]);
  });

  test('of a device without an id goes by its drive, and one without a drive by its node', () => {
    const inserted = { file: '/i/a', drv: 'raw', ro: true, 'node-name': '#block1' };
    const qdev = '/machine/peripheral-anon/device[0]/virtio-backend';
    expect(describeDisks([{ device: 'virtio0', qdev, inserted }])).toMatchObject([{ id: 'virtio0' }]);
    expect(describeDisks([{ device: '', qdev, inserted }])).toMatchObject([{ id: '#block1' }]);
  });

  test('has in its image what no copy of it has', () => {
    const image = { filename: '/i/a', 'virtual-size': 1, snapshots: [{ name: 'before the update' }] };
    const bitmaps = [{ name: 'backup', persistent: true }, { name: 'of a job' }];
    const inserted = { file: '/i/a', drv: 'qcow2', ro: false, image, 'dirty-bitmaps': bitmaps };
    expect(describeDisks([{ device: 'a', inserted }])).toMatchObject([
      { besides: ['snapshot before the update', 'bitmap backup'] },
    ]);
  });

  test('without a medium is none', () => {
    expect(describeDisks([{ device: 'cd' }])).toEqual([]);
  });
});

describe('the image of', () => {
  test.each<[string, string | null]>([
    ['/i/a', '/i/a'],
    ['nbd://host/x', null],
    ['images/a', 'images/a'],
    ['json:{"driver":"raw","file":{"driver":"file","filename":"/i/a"}}', '/i/a'],
    [
      'json:{"throttle-group":"t","driver":"throttle","file":{"driver":"qcow2","file":{"driver":"host_device","filename":"/dev/a"}}}',
      '/dev/a',
    ],
    ['json:{"driver":"raw","file":{"driver":"nbd","server":{"type":"unix","path":"/s"}}}', null],
    ['json:{"driver":"raw","file":{"driver":"nvme","filename":"/i/a"}}', null],
    ['json:{', null],
  ])('%s is %s', (file, path) => {
    expect(imagePathOf(file)).toBe(path);
  });
});
