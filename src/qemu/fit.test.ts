import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { VmFacts } from './facts.ts';
import { compareVms, findFitBlockers } from './fit.ts';

const directory = mkdtempSync(join(tmpdir(), 'godwit-fit-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const BINARY = { path: '/q', version: '7.2.22', machines: ['q35', 'pc-q35-7.2'], accels: ['tcg'] };
const QUESTION = {
  binary: BINARY,
  args: [],
  machineType: 'pc-q35-7.2',
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
  devices: [{ id: 'net0', type: 'virtio-net-pci' }],
} as unknown as VmFacts;

test('what fits has no blocker', () => {
  expect(findFitBlockers(QUESTION)).toEqual([]);
});

test('a machine type that the binary lacks is named', () => {
  expect(findFitBlockers({ ...QUESTION, machineType: 'pc-q35-10.0' })).toMatchObject([
    { id: 'machine-type', what: 'pc-q35-10.0', reason: 'QEMU 7.2.22 of this host has no such machine type' },
  ]);
});

test('an accelerator that the binary lacks is named', () => {
  expect(findFitBlockers({ ...QUESTION, accel: 'kvm' })).toMatchObject([{ id: 'accelerator', what: 'kvm' }]);
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

test('equal VMs have no difference', () => {
  expect(compareVms(FACTS, { ...FACTS, vcpuTids: [8, 9] })).toEqual([]);
});

test.each<[string, Partial<VmFacts>, string]>([
  ['a CPU feature less', { cpuFeatures: [{ register: '0x1.ECX', bits: 1 }] }, 'CPUID 0x1.ECX lacks bit 2'],
  ['a CPU feature more', { cpuFeatures: [{ register: '0x1.ECX', bits: 0b101 + 2 ** 31 }] }, 'has in addition bit 31'],
  [
    'a register more',
    { cpuFeatures: [...FACTS.cpuFeatures, { register: '0x7:0.EBX', bits: 1 }] },
    'CPUID 0x7:0.EBX has in addition bit 0',
  ],
  ['another machine', { machineType: 'pc-q35-7.1' }, 'it is pc-q35-7.2 at the source and pc-q35-7.1 here'],
  ['another accelerator', { accel: 'kvm' }, 'it is tcg at the source and kvm here'],
  ['fewer vCPUs', { vcpuTids: [1] }, 'it is 2 at the source and 1 here'],
  ['no device', { devices: [] }, 'it is net0 (virtio-net-pci) at the source and none here'],
])('%s is a blocker', (_, changes, reason) => {
  expect(compareVms(FACTS, { ...FACTS, ...changes })[0]?.reason).toContain(reason);
});
