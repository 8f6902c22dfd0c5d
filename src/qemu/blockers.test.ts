import { describe, expect, test } from 'vitest';
import { PLAIN_DISK } from '../../test/support/plain-disk.ts';
import { mergeBlockers } from './blocker.ts';
import { findBlockers } from './blockers.ts';
import type { VmFacts } from './facts.ts';
import type { RamBackend } from './ram.ts';
import type { SharedBackend } from './shared-memory.ts';

const FACTS: VmFacts = {
  qemuVersion: '10.0.2',
  machineType: 'pc-q35-10.0',
  accel: 'kvm',
  cpuModel: 'qemu64',
  cpuFeatures: [],
  vcpuTids: [11],
  status: 'running',
  running: true,
  uuid: undefined,
  name: 'web',
  disks: [],
  devices: [],
  blockJobs: [],
  blockedReasons: [],
  migrationStatus: undefined,
  encryptedMemory: false,
};
const FILE = { path: '/dev/shm/godwit-region-0123abcd-bus', device: '00:1b', inode: 7 };
const PLACE = {
  ...FILE,
  hostAddress: 0x7f0000000000n,
  fdPath: '/proc/1/fd/9',
  pageSize: 4096,
  fileSystem: 'tmpfs' as const,
};
const RAM: RamBackend = { id: 'ram0', bytes: 2 ** 30, type: 'memory-backend-file', shared: true, place: PLACE };
const DEVICE = { what: 'iv0', backend: 'shm0', isMaster: true };
const SHARED: SharedBackend = { ...RAM, id: 'shm0', device: DEVICE };
const DISK = PLAIN_DISK;

interface Case {
  facts?: Partial<VmFacts>;
  ram?: RamBackend[];
  shared?: SharedBackend[];
  args?: string;
  open?: string[];
}

function blockersOf({ facts, ram = [RAM], shared = [], args = '', open = [] }: Case): [string, string][] {
  const found = findBlockers({ ...FACTS, ...facts }, args.split(' '), { ram, shared }, open);
  return found.map(({ id, what }) => [id, what]);
}

const device = (type: string, id = 'x'): Case => ({
  facts: { devices: [{ id, type }] },
  args: `-device ${type},id=${id}`,
});

test('an ordinary VM has no blocker', () => {
  const facts = { devices: [{ id: 'net0', type: 'virtio-net-pci' }], disks: [DISK], migrationStatus: 'completed' };
  const args = '-device virtio-net-pci,id=net0 -netdev tap,id=n,ifname=t,vhost=off -drive file=/shared/a.img';
  expect(blockersOf({ facts, args, open: ['/dev/net/tun', '/dev/kvm'] })).toEqual([]);
});

describe('RAM', () => {
  test.each<[string, Case, [string, string]]>([
    ['that is not there', { ram: [] }, ['private-ram', 'RAM']],
    ['that is private', { ram: [{ ...RAM, shared: false }] }, ['private-ram', 'ram0']],
    ['without a file', { ram: [{ ...RAM, place: null }] }, ['private-ram', 'ram0']],
    ['on huge pages', { ram: [{ ...RAM, place: { ...PLACE, fileSystem: 'hugetlbfs' } }] }, ['huge-pages', 'ram0']],
    ['in a file on a disk', { ram: [{ ...RAM, place: { ...PLACE, fileSystem: 'other' } }] }, ['ram-on-disk', 'ram0']],
    ['that is encrypted', { facts: { encryptedMemory: true } }, ['encrypted-memory', 'RAM']],
  ])('%s blocks', (_, given, wanted) => {
    expect(blockersOf(given)).toEqual([wanted]);
  });

  test.each([
    ['7.2.22', 0],
    ['8.0.4', 0],
    ['8.1.0', 1],
    ['8.2.2', 1],
    ['10.0.2', 1],
  ])('in a memfd of QEMU %s is blocked %i times', (qemuVersion, count) => {
    const ram = [{ ...RAM, type: 'memory-backend-memfd' }];
    expect(blockersOf({ facts: { qemuVersion }, ram })).toHaveLength(count);
  });
});

describe('memory shared with other VMs', () => {
  test.each<[string, SharedBackend, [string, string]]>([
    ['moves with its group', SHARED, ['shared-memory', 'bus']],
    ['that is private', { ...SHARED, shared: false }, ['ivshmem-private', 'iv0']],
    ['without a file', { ...SHARED, place: null }, ['ivshmem-private', 'iv0']],
    ['in a file on a disk', { ...SHARED, place: { ...PLACE, fileSystem: 'other' } }, ['ivshmem-file', 'iv0']],
    ['on huge pages', { ...SHARED, place: { ...PLACE, fileSystem: 'hugetlbfs' } }, ['ivshmem-file', 'iv0']],
    ['of a peer', { ...SHARED, device: { ...DEVICE, isMaster: false } }, ['ivshmem-peer', 'iv0']],
    ['in a memfd', { ...SHARED, type: 'memory-backend-memfd' }, ['memfd-ram', 'shm0']],
  ])('%s blocks', (_, backend, wanted) => {
    const facts = { devices: [{ id: 'iv0', type: 'ivshmem-plain' }] };
    expect(blockersOf({ facts, shared: [backend], args: '-device ivshmem-plain,id=iv0' })).toEqual([wanted]);
  });

  test('is told with the command that moves the group', () => {
    const [found] = findBlockers(FACTS, [], { ram: [RAM], shared: [SHARED] }, []);
    expect(found?.fix).toBe('move its group: godwit group migrate bus --to HOST');
  });
});

describe('devices', () => {
  test.each([
    ['vfio-pci', 'vfio'],
    ['vhost-user-fs-pci', 'virtiofs'],
    ['vhost-user-blk-pci', 'vhost-user'],
    ['vhost-vsock-pci', 'vhost'],
    ['vhost-scsi-pci', 'vhost'],
    ['vhost-vdpa-device-pci', 'vhost'],
    ['ivshmem-doorbell', 'ivshmem-doorbell'],
    ['usb-host', 'usb-host'],
    ['nvdimm', 'persistent-memory'],
    ['virtio-pmem-pci', 'persistent-memory'],
    ['virtio-mem-pci', 'virtio-mem'],
    ['virtio-input-host-pci', 'host-input'],
    ['scsi-block', 'scsi-passthrough'],
    ['scsi-generic', 'scsi-passthrough'],
    ['tpm-tis', 'tpm'],
  ])('%s blocks as %s', (type, id) => {
    expect(blockersOf(device(type))).toEqual([[id, 'x']]);
  });

  test.each([
    'virtio-blk-pci',
    'virtio-serial-pci',
    'usb-tablet',
    'scsi-hd',
    'qxl-vga',
    'virtio-balloon-pci',
  ])('%s does not block', (type) => {
    expect(blockersOf(device(type))).toEqual([]);
  });

  test('one that was plugged in later blocks, one that was unplugged as well', () => {
    const facts = { devices: [{ id: 'new', type: 'virtio-rng-pci' }] };
    expect(blockersOf({ facts, args: '-device virtio-net-pci,id=old' })).toEqual([
      ['hot-plugged', 'new'],
      ['unplugged', 'old'],
    ]);
  });

  test.each<[string, string, string]>([
    ['-netdev tap,id=n,vhost=on', 'vhost', '-netdev n'],
    ['-netdev {"type":"tap","id":"n","vhost":true}', 'vhost', '-netdev n'],
    ['-netdev vhost-user,id=n,chardev=c', 'vhost-user', '-netdev n'],
    ['-netdev type=vhost-vdpa,id=n', 'vhost', '-netdev n'],
    ['-tpmdev emulator,id=t,chardev=c', 'tpm', '-tpmdev t'],
    ['-object sev-guest,id=sev0,cbitpos=47', 'encrypted-memory', '-object sev0'],
    ['-machine q35,confidential-guest-support=tdx0', 'encrypted-memory', '-machine q35'],
  ])('%s blocks as %s', (args, id, what) => {
    expect(blockersOf({ args })).toEqual([[id, what]]);
  });

  test.each([
    ['/dev/vhost-net', 'vhost'],
    ['/dev/vfio/12', 'vfio'],
    ['/dev/bus/usb/001/004', 'usb-host'],
  ])('a descriptor of %s blocks as %s', (path, id) => {
    expect(blockersOf({ open: ['/dev/null', path] })).toEqual([[id, path]]);
  });

  test('a descriptor of a device that is named already is not named twice', () => {
    expect(blockersOf({ ...device('vfio-pci'), open: ['/dev/vfio/12'] })).toEqual([['vfio', 'x']]);
  });
});

describe('disks and state', () => {
  test.each<[string, Case, [string, string]]>([
    ['cache=unsafe', { facts: { disks: [{ ...DISK, ignoresFlush: true }] } }, ['unsafe-cache', 'd0']],
    [
      'an image that came later',
      { facts: { disks: [{ ...DISK, file: '/shared/snap1' }] }, args: '-drive file=/shared/a.img' },
      ['changed-disk', 'd0'],
    ],
    ['-snapshot', { args: '-snapshot' }, ['snapshot', '-snapshot']],
    ['snapshot=on', { args: '-drive file=/shared/a.img,snapshot=on' }, ['snapshot', '-snapshot']],
    ['a block job', { facts: { blockJobs: ['mirror on d0'] } }, ['block-job', 'mirror on d0']],
    [
      'QEMU itself',
      { facts: { blockedReasons: ['The vvfat (rw) format does not'] } },
      ['qemu-refuses', 'The vvfat (rw) format does not'],
    ],
    ["QEMU's own migration", { facts: { migrationStatus: 'active' } }, ['migrating', 'VM']],
    ['a VM that is not loaded yet', { facts: { status: 'inmigrate' } }, ['not-loaded', 'VM']],
    ['a configuration file', { args: '-readconfig /x' }, ['config-file', '-readconfig']],
  ])('%s blocks', (_, given, wanted) => {
    expect(blockersOf(given)).toEqual([wanted]);
  });

  test.each([
    'nvme://0000:01:00.0/1',
    'json:{"driver": "raw", "file": {"driver": "nvme", "device": "0000:01:00.0", "namespace": 1}}',
    'json:{"driver":"virtio-blk-vhost-user","path":"/run/blk.sock"}',
  ])('a disk of %s blocks', (file) => {
    expect(blockersOf({ facts: { disks: [{ ...DISK, file }] } })).toEqual([['mapping-disk', 'd0']]);
  });

  test.each([
    '/dev/nvme0n1',
    'nbd://nvme/x',
    'json:{"driver":"raw","file":{"driver":"host_device","filename":"/dev/nvme0n1"}}',
  ])('a disk of %s does not block', (file) => {
    expect(blockersOf({ facts: { disks: [{ ...DISK, file }] } })).toEqual([]);
  });

  test('a read-only disk may ignore flushes', () => {
    expect(blockersOf({ facts: { disks: [{ ...DISK, readonly: true, ignoresFlush: true }] } })).toEqual([]);
  });

  test('every blocker has a reason and a cure', () => {
    const found = findBlockers(
      { ...FACTS, blockJobs: ['x'], status: 'inmigrate' },
      ['-snapshot'],
      { ram: [], shared: [SHARED] },
      ['/dev/vhost-net'],
    );
    expect(found.every(({ reason, fix }) => reason.length > 5 && fix.length > 5)).toBe(true);
  });
});

test('merged lists name everything once', () => {
  const blocker = { id: 'a', what: 'x', reason: 'r', fix: 'f' };
  expect(
    mergeBlockers(
      [blocker],
      [
        { ...blocker, reason: 'other' },
        { ...blocker, what: 'y' },
      ],
    ),
  ).toEqual([blocker, { ...blocker, what: 'y' }]);
});
