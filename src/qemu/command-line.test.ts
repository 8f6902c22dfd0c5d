import { expect, test } from 'vitest';
import { buildCommandLine, ramBytesOf, sharedBackendId } from './command-line.ts';
import type { VmSpec } from './spec.ts';

const ENDPOINTS = {
  ramPath: '/dev/shm/godwit-web-1',
  qmpPath: '/s/vms/web/1/qmp.sock',
  consoleSocketPath: '/s/vms/web/1/console.sock',
  consoleLogPath: '/s/vms/web/1/console.log',
};
const IDENTITY = { uuid: '11111111-2222-4333-8444-555555555555', accel: 'tcg' } as const;
const SPEC: VmSpec = {
  name: 'web',
  memoryBytes: 512 * 2 ** 20,
  vcpus: 2,
  machine: 'q35',
  cpu: 'qemu64',
  accel: 'auto',
  qemu: 'qemu-system-x86_64',
  disks: [],
  nics: [],
  sharedMemory: [],
  qemuArgs: [],
};
const build = (changes: Partial<VmSpec>): string[] => buildCommandLine({ ...SPEC, ...changes }, ENDPOINTS, IDENTITY);
const valuesOf = (args: string[], option: string): string[] =>
  args.flatMap((word, at) => (word === option ? [args[at + 1] ?? ''] : []));

test('RAM is a shared named file', () => {
  const args = build({});
  expect(valuesOf(args, '-object')).toEqual([
    'memory-backend-file,id=ram0,size=512M,mem-path=/dev/shm/godwit-web-1,share=on',
  ]);
  expect(valuesOf(args, '-machine')).toEqual(['q35,memory-backend=ram0']);
  expect(valuesOf(args, '-m')).toEqual(['size=512M']);
});

test('nothing exists that was not asked for', () => {
  expect(build({})).toEqual(expect.arrayContaining(['-nodefaults', '-no-user-config', '-display', '-vga']));
  expect(valuesOf(build({}), '-device')).toEqual([]);
});

test('a network interface is a tap with the address that it was given, and without an option ROM', () => {
  const nic = { name: 'lan', bridge: 'br0', mac: '52:54:00:00:00:01', model: 'virtio-net-pci', mtu: 9000 } as const;
  const endpoints = { ...ENDPOINTS, taps: new Map([['lan', 'gw01234567n0']]) };
  const args = buildCommandLine({ ...SPEC, nics: [nic] }, endpoints, IDENTITY);
  expect(valuesOf(args, '-netdev')).toEqual(['tap,ifname=gw01234567n0,script=no,downscript=no,id=lan']);
  expect(valuesOf(args, '-device')).toEqual([
    'virtio-net-pci,id=nic-lan,netdev=lan,mac=52:54:00:00:00:01,romfile=,host_mtu=9000',
  ]);
});

test('an interface without a bridge is QEMU-internal, and only a virtio guest is told an MTU', () => {
  const args = build({ nics: [{ name: 'nic0', bridge: null, mac: '52:54:00:00:00:01', model: 'e1000', mtu: 1400 }] });
  expect(valuesOf(args, '-netdev')).toEqual(['user,id=nic0']);
  expect(valuesOf(args, '-device')).toEqual(['e1000,id=nic-nic0,netdev=nic0,mac=52:54:00:00:00:01,romfile=']);
});

test('a reboot of the guest stays possible', () => {
  expect(build({})).not.toEqual(expect.arrayContaining(['-no-reboot']));
});

test('the console is a socket with a log', () => {
  expect(valuesOf(build({}), '-chardev')[0]).toBe(
    'socket,id=godwit-console,path=/s/vms/web/1/console.sock,server=on,wait=off,logfile=/s/vms/web/1/console.log,logappend=on',
  );
  expect(valuesOf(build({}), '-serial')).toEqual(['chardev:godwit-console']);
});

test('identity and accelerator are what was given', () => {
  const args = build({});
  expect(valuesOf(args, '-uuid')).toEqual([IDENTITY.uuid]);
  expect(valuesOf(args, '-accel')).toEqual(['tcg']);
  expect(valuesOf(args, '-name')).toEqual(['guest=web,debug-threads=on']);
});

test('a kernel is booted directly', () => {
  const args = build({ boot: { kernel: '/k', initrd: '/i', cmdline: 'console=ttyS0,115200 quiet' } });
  expect(valuesOf(args, '-kernel')).toEqual(['/k']);
  expect(valuesOf(args, '-initrd')).toEqual(['/i']);
  expect(valuesOf(args, '-append')).toEqual(['console=ttyS0,115200 quiet']);
});

test('a disk of the block server is an NBD node whose failed requests are kept, on the controller that was asked for', () => {
  const through = 'block-server' as const;
  const disks: VmSpec['disks'] = [
    { path: '/d/a.img', format: 'raw', through },
    { path: '/d/b.img', format: 'raw', through, bus: 'virtio-scsi', readonly: true },
  ];
  const args = buildCommandLine({ ...SPEC, disks }, { ...ENDPOINTS, nbdSocketPath: '/s/nbd.sock' }, IDENTITY);
  const [first, second] = valuesOf(args, '-blockdev').map((value) => JSON.parse(value));
  const server = { type: 'unix', path: '/s/nbd.sock' };
  expect(first).toMatchObject({ driver: 'nbd', 'node-name': 'disk0', export: 'disk0', 'reconnect-delay': 0, server });
  expect(second).toMatchObject({ driver: 'nbd', 'node-name': 'disk1', export: 'disk1', 'read-only': true });
  expect(valuesOf(args, '-device')).toEqual([
    'virtio-scsi-pci,id=scsi0',
    'virtio-blk-pci,id=virtio-disk0,drive=disk0,write-cache=on,rerror=stop,werror=stop',
    'scsi-hd,id=scsi-disk1,bus=scsi0.0,drive=disk1,write-cache=on,rerror=stop,werror=stop',
  ]);
  expect(() => build({ disks })).toThrow(/no block server/);
});

test('firmware replaces the BIOS', () => {
  expect(valuesOf(build({ firmware: '/fw/tiny.bin' }), '-bios')).toEqual(['/fw/tiny.bin']);
});

test.each([
  ['none', true, false, 'on'],
  ['writeback', false, false, 'on'],
  ['writethrough', false, false, 'off'],
  ['directsync', true, false, 'off'],
  ['unsafe', false, true, 'on'],
] as const)('cache %s is direct=%s, no-flush=%s, write-cache=%s', (cache, direct, noFlush, writeCache) => {
  const args = build({ disks: [{ path: '/d,1.qcow2', format: 'qcow2', cache }] });
  expect(JSON.parse(valuesOf(args, '-blockdev')[0] ?? '')).toEqual({
    driver: 'qcow2',
    'node-name': 'disk0',
    'read-only': false,
    cache: { direct, 'no-flush': noFlush },
    file: { driver: 'file', filename: '/d,1.qcow2' },
  });
  expect(valuesOf(args, '-device')).toEqual([`virtio-blk-pci,id=virtio-disk0,drive=disk0,write-cache=${writeCache}`]);
});

test('a block device is opened as one', () => {
  const args = build({ disks: [{ path: '/dev/vg/web', format: 'raw' }] });
  expect(valuesOf(args, '-blockdev')[0]).toContain('"driver":"host_device"');
});

test('a region is a shared file of the host behind an ivshmem device that QEMU migrates', () => {
  const sharedMemory = [{ name: 'bus', sizeBytes: 2 ** 21 }];
  const sharedPaths = new Map([[sharedBackendId('bus'), '/dev/shm/a,b']]);
  const args = buildCommandLine({ ...SPEC, sharedMemory }, { ...ENDPOINTS, sharedPaths }, IDENTITY);
  expect(valuesOf(args, '-object')[1]).toBe(
    'memory-backend-file,id=shared-bus,size=2097152,mem-path=/dev/shm/a,,b,share=on',
  );
  expect(valuesOf(args, '-device')).toEqual(['ivshmem-plain,id=ivshmem-bus,memdev=shared-bus,master=on']);
  expect(() => build({ sharedMemory })).toThrow('the shared memory bus has no file');
  const smp = (accel: 'tcg' | 'kvm', vcpus: number) =>
    valuesOf(
      buildCommandLine({ ...SPEC, vcpus, sharedMemory }, { ...ENDPOINTS, sharedPaths }, { ...IDENTITY, accel }),
      '-smp',
    );
  // Else TCG would not lock what another QEMU sees.
  expect([smp('tcg', 1), smp('tcg', 2), smp('kvm', 1)].flat()).toEqual(['1,maxcpus=2', '2', '1']);
});

test('further arguments come after ours', () => {
  expect(build({ qemuArgs: ['-device', 'virtio-rng-pci'] })).toEqual(expect.arrayContaining(['virtio-rng-pci']));
});

test('memory is rounded up to whole MiB', () => {
  expect(ramBytesOf({ ...SPEC, memoryBytes: 2 ** 20 * 4 + 1 })).toBe(2 ** 20 * 5);
});

test('a path too long for a socket is refused with the reason', () => {
  const endpoints = { ...ENDPOINTS, qmpPath: `/${'x'.repeat(107)}` };
  expect(() => buildCommandLine(SPEC, endpoints, IDENTITY)).toThrow('at most 107 bytes');
});
