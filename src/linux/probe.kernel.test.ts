import { readdirSync } from 'node:fs';
import { beforeAll, expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { type Probe, runProbes } from './probe.ts';

let probes: Probe[];

beforeAll(async () => {
  probes = await runProbes({
    qemuBinaries: ['good-qemu', 'bad-qemu'],
    askQemu: (binary) =>
      binary === 'good-qemu'
        ? Promise.resolve({ version: '7.2.0', machines: ['q35', 'pc-q35-7.2'], accels: ['tcg'] })
        : Promise.reject(new Error('not found')),
  });
});

function find(id: string): Probe | undefined {
  return probes.find((probe) => probe.id === id);
}

test('every "no" has a reason and a fix, every "yes" neither', () => {
  for (const { ok, reason, fix } of probes) {
    expect([reason === undefined, fix === undefined]).toEqual([ok, ok]);
  }
});

test('ids are unique', () => {
  expect(new Set(probes.map((probe) => probe.id)).size).toBe(probes.length);
});

test('each QEMU binary is asked', () => {
  expect(find('qemu:good-qemu')).toMatchObject({ ok: true, value: expect.stringContaining('version 7.2.0') });
  expect(find('qemu:bad-qemu')).toMatchObject({ ok: false, reason: 'not found' });
});

requireCapability('kernel', 'cgroupV1')('this machine', () => {
  test('has everything that a migration needs', () => {
    const needed = probes.filter((probe) => ['always', 'post-copy', 'throttle'].includes(probe.needed));
    expect(needed.filter((probe) => !probe.ok).map((probe) => probe.id)).toEqual(['qemu:bad-qemu']);
    expect(find('throttle')?.value).toBe('cgroup-v1');
    expect(find('write-faults')).toMatchObject({ ok: true });
    expect(find('tracking')).toMatchObject({ ok: true, value: 'by the kernel' });
    // The probe of version 2 is a real attempt, which must not leave anything behind either.
    const own = `godwit@doctor@${process.pid}.`;
    expect(readdirSync('/sys/fs/cgroup/cpu').filter((name) => name.startsWith(own))).toEqual([]);
  });
});
