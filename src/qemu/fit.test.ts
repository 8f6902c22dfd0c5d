import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { Blocker } from './blocker.ts';
import type { VmFacts } from './facts.ts';
import { compareVms, findBinaryBlockers, findFitBlockers, type ToldMachine, visibleMachine } from './fit.ts';

const directory = mkdtempSync(join(tmpdir(), 'godwit-fit-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const BINARY = { path: '/q', version: '7.2.22', machines: ['q35', 'pc-q35-7.2'], accels: ['tcg'] };
const QUESTION = {
  args: [],
  accel: 'tcg',
  memoryBytes: 2 ** 20,
  ramPath: '/tmp/ram',
} as const;
const FACTS = {
  machineType: 'pc-q35-7.2',
  accel: 'tcg',
  cpuModel: 'qemu64',
  cpuFeatures: [{ register: '0x1.ECX', bits: 0b101 }],
  vcpuTids: [1, 2],
  devices: [
    { id: 'net0', type: 'virtio-net-pci' },
    { id: '', type: 'VGA' },
  ],
} as unknown as VmFacts;

test('what fits has no blocker', () => {
  expect(findFitBlockers(QUESTION)).toEqual([]);
  expect(findBinaryBlockers(BINARY, { machineType: 'pc-q35-7.2', accel: 'tcg' })).toEqual([]);
});

test('a machine type that the binary lacks is named', () => {
  expect(findBinaryBlockers(BINARY, { machineType: 'pc-q35-10.0', accel: 'tcg' })).toMatchObject([
    { id: 'machine-type', what: 'pc-q35-10.0', reason: 'QEMU 7.2.22 of this host has no such machine type' },
  ]);
});

test('an accelerator that the binary lacks is named', () => {
  expect(findBinaryBlockers(BINARY, { machineType: 'q35', accel: 'kvm' })).toMatchObject([
    { id: 'accelerator', what: 'kvm' },
  ]);
});

test('missing files are named, all of them', () => {
  writeFileSync(join(directory, 'there'), '');
  const args = ['-kernel', join(directory, 'there'), '-initrd', '/no/initrd', '-drive', 'file=/no/disk.img'];
  expect(findFitBlockers({ ...QUESTION, args }).map(({ id, what }) => [id, what])).toEqual([
    ['missing-file', '/no/initrd'],
    ['missing-file', '/no/disk.img'],
  ]);
});

test('a relative path is not looked up here: it means the directory of the source', () => {
  expect(findFitBlockers({ ...QUESTION, args: ['-drive', 'file=no/disk.img'] })).toEqual([]);
});

test('too little memory is said with both numbers', () => {
  const found = findFitBlockers({ ...QUESTION, memoryBytes: 2 ** 50 });
  expect(found.map(({ id }) => id)).toEqual(['no-room', 'no-room']);
  expect(found[0]?.reason).toMatch(/^1024\.?0? TiB needed, .+ available on this host$/);
});

function differences(changes: Partial<VmFacts>, told: Partial<ToldMachine> = {}): string[] {
  const source = { ...visibleMachine(FACTS), ...told };
  return compareVms(source, visibleMachine({ ...FACTS, ...changes })).map(explain);
}

function explain({ what, reason }: Blocker): string {
  return `${what}: ${reason}`;
}

test('equal VMs have no difference', () => {
  expect(differences({ vcpuTids: [8, 9], devices: [...FACTS.devices].reverse() })).toEqual([]);
});

const OTHER_CPU = '-cpu qemu64: the guest would see another CPU: this host';

test.each<[string, Partial<VmFacts>, string]>([
  ['a CPU feature less', { cpuFeatures: [{ register: '0x1.ECX', bits: 1 }] }, `${OTHER_CPU} lacks CPUID 0x1.ECX bit 2`],
  [
    'CPU features more',
    { cpuFeatures: [{ register: '0x1.ECX', bits: 0b1111 + 2 ** 31 }] },
    `${OTHER_CPU} has in addition CPUID 0x1.ECX bit 1+3+31`,
  ],
  [
    'a register more',
    { cpuFeatures: [...FACTS.cpuFeatures, { register: '0x7:0.EBX', bits: 1 }] },
    `${OTHER_CPU} has in addition CPUID 0x7:0.EBX bit 0`,
  ],
  [
    'another register',
    { cpuFeatures: [{ register: '0x7:0.EBX', bits: 32 }] },
    `${OTHER_CPU} lacks CPUID 0x1.ECX bit 0+2 and has in addition CPUID 0x7:0.EBX bit 5`,
  ],
  [
    'another machine',
    { machineType: 'pc-q35-7.1' },
    'machine-type: it is pc-q35-7.2 at the source and pc-q35-7.1 here',
  ],
  ['another accelerator', { accel: 'kvm' }, 'accelerator: it is tcg at the source and kvm here'],
  ['fewer vCPUs', { vcpuTids: [1] }, 'vcpus: it is 2 at the source and 1 here'],
  ['no device', { devices: [] }, 'devices: the VM here lacks VGA, net0 (virtio-net-pci)'],
  [
    'a device twice, and one of another type',
    {
      devices: [
        { id: '', type: 'VGA' },
        { id: '', type: 'VGA' },
        { id: 'net0', type: 'e1000' },
      ],
    },
    'devices: the VM here lacks net0 (virtio-net-pci) and has in addition VGA, net0 (e1000)',
  ],
])('%s is a blocker', (_, changes, text) => {
  expect(differences(changes)).toEqual([text]);
});

test('what a host does not tell is not compared', () => {
  const told = { cpuFeatures: [], vcpus: undefined, devices: undefined };
  expect(differences({ vcpuTids: [1], devices: [] }, told)).toEqual([]);
  expect(differences({ cpuFeatures: [] })).toEqual([]);
});
