import { describe, expect, test } from 'vitest';
import { GodwitError } from '../base/errors.ts';
import { parseInput } from './input-error.ts';
import { completeDisk, VmSpecSchema } from './vm-schema.ts';

const minimal = { name: 'web1', memory: '512MiB' };

const withShared = (...sharedMemory: unknown[]): object => ({ ...minimal, sharedMemory });

function refuse(spec: unknown): { field: string; value: string; fix: string; problems: { field: string }[] } {
  try {
    parseInput(VmSpecSchema, spec);
  } catch (error) {
    if (error instanceof GodwitError && error.code === 'GW_INPUT_INVALID') return error.details as never;
    throw error;
  }
  throw new Error('was not refused');
}

describe('VM spec', () => {
  test('needs a name and a memory size and has a default for the rest', () => {
    expect(parseInput(VmSpecSchema, minimal)).toEqual({
      name: 'web1',
      memory: 512 * 2 ** 20,
      vcpus: 1,
      machine: 'q35',
      cpu: 'qemu64',
      accel: 'auto',
      qemu: 'qemu-system-x86_64',
      disks: [],
      nics: [],
      sharedMemory: [],
      qemuArgs: [],
    });
  });

  test.each([
    ['512MiB', 512 * 2 ** 20],
    ['2G', 2 * 2 ** 30],
    ['1.5GiB', 1536 * 2 ** 20],
    [64 * 2 ** 20, 64 * 2 ** 20],
  ])('memory %s is %d bytes', (memory, bytes) => {
    expect(parseInput(VmSpecSchema, { ...minimal, memory }).memory).toBe(bytes);
  });

  test('shared memory has a name and a size in bytes', () => {
    const spec = withShared({ name: 'bus', size: '16MiB' }, { name: 'log.2', size: 2 ** 20 });
    expect(parseInput(VmSpecSchema, spec).sharedMemory).toEqual([
      { name: 'bus', size: 2 ** 24 },
      { name: 'log.2', size: 2 ** 20 },
    ]);
  });

  const memoryFix = 'give a size of whole MiB from 4MiB to 16TiB, such as 512MiB or 2GiB, or a number of bytes';
  const sharedSizeFix = 'give a power of two from 1MiB to 1TiB, such as 16MiB, or a number of bytes';
  const nameFix = 'give 1 to 63 letters, digits, dots, dashes or underscores, the first a letter or digit';
  test.each([
    [{ ...minimal, name: '../etc' }, 'name', '"../etc"', nameFix],
    [{ ...minimal, name: 7 }, 'name', '7', nameFix],
    [{ ...minimal, memory: '512 potatoes' }, 'memory', '"512 potatoes"', memoryFix],
    [{ ...minimal, memory: '1MiB' }, 'memory', '"1MiB"', memoryFix],
    [{ ...minimal, memory: 5_000_000 }, 'memory', '5000000', memoryFix],
    [withShared({ name: 'a b', size: '1MiB' }), 'sharedMemory[0].name', '"a b"', nameFix],
    [withShared({ name: 'bus', size: '512KiB' }), 'sharedMemory[0].size', '"512KiB"', sharedSizeFix],
    [withShared({ name: 'bus', size: '3MiB' }), 'sharedMemory[0].size', '"3MiB"', sharedSizeFix],
    [withShared({ name: 'bus', size: 2 ** 20 + 4096 }), 'sharedMemory[0].size', '1052672', sharedSizeFix],
    [
      withShared({ name: 'bus', size: '1MiB' }, { name: 'log', size: '1MiB' }, { name: 'bus', size: '2MiB' }),
      'sharedMemory[2].name',
      '"bus"',
      'give each shared memory of a VM a name of its own',
    ],
    [{ ...minimal, vcpus: 0 }, 'vcpus', '0', 'give a whole number from 1 to 512'],
    [{ ...minimal, vcpus: 'two' }, 'vcpus', '"two"', 'give a whole number from 1 to 512'],
    [{ ...minimal, accel: 'hvf' }, 'accel', '"hvf"', 'give one of auto, kvm, tcg'],
    [{ ...minimal, machine: '' }, 'machine', '""', 'give a QEMU machine type such as q35'],
    [
      { ...minimal, boot: { kernel: 'vmlinuz' } },
      'boot.kernel',
      '"vmlinuz"',
      'give the absolute path of a file on the host',
    ],
    [{ ...minimal, firmware: 3 }, 'firmware', '3', 'give the absolute path of a file on the host'],
    [{ ...minimal, disks: '/a' }, 'disks', '"/a"', 'give a list of disks'],
    [
      { ...minimal, disks: [7] },
      'disks[0]',
      '7',
      'give a path, or an object with path, format, readonly, cache, bus, through',
    ],
    [{ ...minimal, qemuArgs: [1] }, 'qemuArgs[0]', '1', 'give a text'],
    [
      { ...minimal, memroy: 1 },
      'memroy',
      '1',
      'remove it, or use one of name, memory, vcpus, machine, cpu, accel, qemu, boot, firmware, disks, nics, sharedMemory, qemuArgs',
    ],
    [
      { ...minimal, boot: { kernel: '/k', root: '/dev/vda' } },
      'boot.root',
      '"/dev/vda"',
      'remove it, or use one of kernel, initrd, cmdline',
    ],
  ])('refuses %j naming field, value and fix', (spec, field, value, fix) => {
    expect(refuse(spec)).toMatchObject({ field, value, fix });
  });

  test.each([
    [{ memory: '512MiB' }, 'name', nameFix],
    [{ name: 'web1' }, 'memory', memoryFix],
    [{ ...minimal, boot: {} }, 'boot.kernel', 'give the absolute path of a file on the host'],
    [{}, 'name', nameFix],
  ])('says of %j that %s is missing', (spec, field, fix) => {
    expect(() => parseInput(VmSpecSchema, spec)).toThrow(
      expect.objectContaining({
        code: 'GW_INPUT_MISSING',
        message: `${field} is missing: ${fix}`,
        details: expect.objectContaining({ field, value: null, fix }),
      }),
    );
  });

  test('tells what is not valid before what is missing', () => {
    const { field, problems } = refuse({ memory: 'x' });
    expect(field).toBe('memory');
    expect(problems).toMatchObject([
      { field: 'name', value: null },
      { field: 'memory', value: '"x"' },
    ]);
  });

  test.each([null, [], 'text', 7])('refuses the document %j as a whole', (document) => {
    expect(refuse(document)).toMatchObject({ field: 'document' });
  });

  test('names every problem, not only the first', () => {
    const { problems } = refuse({ name: '-', memory: 'x', vcpus: 0 });
    expect(problems.map(({ field }) => field)).toEqual(['name', 'memory', 'vcpus']);
  });

  test('shows a long value cut short', () => {
    expect(refuse({ ...minimal, accel: 'x'.repeat(500) }).value).toHaveLength(80);
  });
});

describe('disk', () => {
  test.each([
    ['/a/b.qcow2', 'qcow2'],
    ['/dev/vdb', 'raw'],
    ['/a/b.img', 'raw'],
  ])('%s alone has format %s', (path, format) => {
    expect(completeDisk(path)).toEqual({ path, format });
  });

  test('keeps the format that was given', () => {
    expect(completeDisk({ path: '/a.qcow2', format: 'raw' }).format).toBe('raw');
  });
});
