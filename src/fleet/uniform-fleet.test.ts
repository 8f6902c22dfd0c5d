import { expect, test } from 'vitest';
import { totalKeys, type UniformFleet, uniformFleetSpec } from './uniform-fleet.ts';
import { EVEN_MIX, mixWorkloads } from './workload-mix.ts';

const FLEET: UniformFleet = {
  ...{ seed: 1, hosts: 12, leaving: 2, vms: 10, residents: 3, ramBytes: 2 ** 30, commonPart: 0.6, images: 2 },
  ...{ mix: EVEN_MIX, bytesPerSecond: 1e9, periodMs: 60_000 },
};

test('hosts that stay have room for one and a half times what leaves, and for their own VMs', () => {
  const { hosts, leaving, on, vmCount } = uniformFleetSpec(FLEET);
  expect(leaving).toEqual(['host01', 'host02']);
  expect(hosts.map(({ takesVms }) => takesVms)).toEqual([false, false, ...Array(10).fill(true)]);
  expect(hosts.map(({ memoryBytes }) => memoryBytes / 2 ** 30)).toEqual([10, 10, ...Array(10).fill(6)]);
  expect(vmCount).toBe(50);
  expect(on.filter((name) => name === 'host01')).toHaveLength(10);
  expect(on.filter((name) => name === 'host12')).toHaveLength(3);
});

test('many hosts for few VMs have room for one each', () => {
  const { hosts } = uniformFleetSpec({ ...FLEET, hosts: 1000, leaving: 1, residents: 0 });
  expect(hosts.at(-1)).toMatchObject({ name: 'host1000', memoryBytes: 2 ** 30 });
});

test('any VMs that follow each other are as mixed as all are', () => {
  const mixed = mixWorkloads({ idle: 2, web: 1, database: 0, periodic: 0, rewriting: 1 }, 8);
  expect(mixed.slice(0, 4).toSorted()).toEqual(['idle', 'idle', 'rewriting', 'web']);
  expect(mixed.slice(4).toSorted()).toEqual(['idle', 'idle', 'rewriting', 'web']);
  expect(mixWorkloads(EVEN_MIX, 5)).toEqual(['idle', 'web', 'database', 'periodic', 'rewriting']);
});

test('what contents take is known before they are made', () => {
  expect(totalKeys(FLEET)).toBe(50 * Math.floor((262_144 * 0.8) / 64));
});
