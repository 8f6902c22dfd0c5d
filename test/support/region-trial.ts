/**
 * What tests of regions that move do again and again with RegionHosts: VMs that run from the beginning, and the judgement of the
 * memory at the end.
 */
import { expect } from 'vitest';
import { listOpenFiles } from '../../src/linux/process.ts';
import { RegionHosts, type RegionHostsOptions } from './region-hosts.ts';
import { readSharedWords } from './sharer.ts';
import { waitUntil } from './wait-until.ts';

/** Every VM runs and has added something. */
export async function startRunning(options: RegionHostsOptions): Promise<RegionHosts> {
  const hosts = await RegionHosts.open(options);
  for (const vm of hosts.vms.values()) vm.run(50);
  await allGoOn(hosts);
  return hosts;
}

/** Every VM accesses memory. */
export async function allGoOn(hosts: RegionHosts): Promise<void> {
  for (const { vm } of hosts.vms.values()) await goesOn(hosts, vm);
}

export async function goesOn(hosts: RegionHosts, name: string): Promise<void> {
  const vm = hosts.vm(name);
  const before = vm.accesses;
  await waitUntil(`${name} goes on`, () => vm.accesses > before + 100);
}

/** Nothing was lost, nobody has seen anything old, and all of it is where it must be. */
export async function expectWholeAt(hosts: RegionHosts, here: 'source' | 'destination'): Promise<void> {
  for (const vm of hosts.vms.values()) await vm.pause();
  expect(readSharedWords(hosts.path[here], hosts.pages)).toEqual(hosts.added());
  for (const vm of hosts.vms.values()) expect(vm.errors, vm.vm).toBe(0);
  expect(hosts.pagesIn(here === 'source' ? 'destination' : 'source')).toBe(0);
}

/** How many the process of a VM has open. */
export function userfaultfdsOf(hosts: RegionHosts, vm: string): number {
  const files = listOpenFiles(hosts.vm(vm).watched.pid);
  return files.filter(({ path }) => path === 'anon_inode:[userfaultfd]').length;
}
