import { expect, test } from 'vitest';
import { parseArguments, printArguments, readOptions } from './arguments.ts';

test.each([
  [['-S', '-m', '512', '-nodefaults', '-device', 'virtio-rng-pci']],
  [['-append', 'console=ttyS0 root=/dev/vda -- single', '-snapshot', 'disk.img']],
  [['-incoming', 'defer']],
  [['-append', '']],
])('a command line is printed as it was read: %j', (words) => {
  expect(printArguments(parseArguments(words))).toEqual(words);
});

test('a value that looks like an option stays a value', () => {
  expect(parseArguments(['-append', '-quiet', '-S'])).toEqual([{ option: 'append', value: '-quiet' }, { option: 'S' }]);
});

test('options with two dashes are the same options', () => {
  expect(parseArguments(['--enable-kvm', '--m', '1G'])).toEqual([
    { option: 'enable-kvm' },
    { option: 'm', value: '1G' },
  ]);
});

test('a bare word is a disk image', () => {
  expect(parseArguments(['/images/a.qcow2', '-S'])).toEqual([
    { option: '', value: '/images/a.qcow2' },
    { option: 'S' },
  ]);
});

test.each([
  ['machine', 'q35,accel=kvm', 'type', 'q35'],
  ['m', '2048,slots=4', 'size', '2048'],
  ['device', 'nvdimm,memdev=m', 'driver', 'nvdimm'],
  ['object', 'iothread,id=i', 'qom-type', 'iothread'],
  ['mon', 'monitor0,mode=control', 'chardev', 'monitor0'],
])('the first word of -%s %s is its %s', (option, value, key, wanted) => {
  expect(readOptions({ option, value }).get(key)).toBe(wanted);
});
