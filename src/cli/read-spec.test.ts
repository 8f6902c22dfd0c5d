import { expect, test } from 'vitest';
import { readSpec, withAbsolutePaths } from './read-spec.ts';

test('paths count from the directory of the spec', () => {
  const spec = {
    boot: { kernel: 'vmlinuz', initrd: '../initrd', cmdline: 'console=ttyS0' },
    firmware: '/abs/bios.bin',
    qemu: './qemu',
    disks: ['a.qcow2', { path: 'b.img', readonly: true }],
  };
  expect(withAbsolutePaths(spec, '/srv/vms')).toEqual({
    boot: { kernel: '/srv/vms/vmlinuz', initrd: '/srv/initrd', cmdline: 'console=ttyS0' },
    firmware: '/abs/bios.bin',
    qemu: '/srv/vms/qemu',
    disks: ['/srv/vms/a.qcow2', { path: '/srv/vms/b.img', readonly: true }],
  });
});

test('a binary without a slash is looked up in PATH by the host', () => {
  expect(withAbsolutePaths({ qemu: 'qemu-system-x86_64' }, '/srv')).toEqual({ qemu: 'qemu-system-x86_64' });
});

test.each([null, 'text', [], { boot: 7, disks: 'x' }])('%j is left for the schema to refuse', (spec) => {
  expect(withAbsolutePaths(spec, '/srv')).toEqual(spec);
});

test('a file with nothing in it is named', () => {
  expect(() => readSpec('/dev/null')).toThrow(/\/dev\/null.*nothing.*give a VM spec/);
});
