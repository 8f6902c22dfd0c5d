/**
 * The VMs of the bench's fleets: Linux guests of two images, each with memory of its own and another load.
 *
 * Owns: what they are, and how they are made and looked at. Must hold: VMs of one image have its data in common and nothing
 * else: what each writes down for itself is random. A guest checks its memory when asked.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { WorkloadOptions } from '../guest/linux/images.ts';
import type { GodwitHost } from './godwit-hosts.ts';
import { Guest } from './guest.ts';
import { vmSpec } from './qemu-system.ts';
import type { Bench } from './system.ts';
import type { Workload } from './workloads.ts';

export interface FleetGuest {
  /** Becomes a part of its name. */
  readonly load: string;
  readonly workload: Workload;
}

const MEMORY_MIB = 256;
const IMAGE_MIB = 128;
const OWN_MIB = 16;
const POLL_MS = 100;
const ARRIVAL_MS = 30_000;

/** With its working set all of a VM's own is less than 48 MiB. */
const LOADS: Readonly<Record<string, WorkloadOptions>> = {
  idle: { workingSetMiB: 1, rate: 20, mode: 'words' },
  web: { workingSetMiB: 16, rate: 200, mode: 'words', order: 'random' },
  db: { workingSetMiB: 24, rate: 1500, mode: 'page', order: 'random' },
  heavy: { workingSetMiB: 24, rate: 12_000, mode: 'words' },
};
/** Most machines do little. */
const MIX = ['idle', 'web', 'idle', 'db', 'web', 'idle', 'heavy', 'web'];

/** @param images - of how many; VMs are of one after the other */
export function fleetGuests(count: number, images: number): FleetGuest[] {
  return Array.from({ length: count }, (_, index) => {
    const load = MIX[index % MIX.length]!;
    const options = { fillMiB: IMAGE_MIB, check: 'off', ...LOADS[load], seed: 1 + (index % images) } as const;
    return { load, workload: { name: load, description: load, options, timeoutMs: 120_000, memoryMiB: MEMORY_MIB } };
  });
}

export async function createFleetVm(bench: Bench, host: GodwitHost, name: string, { workload }: FleetGuest) {
  const { memoryBytes, ...spec } = vmSpec(bench, name, workload);
  const request = { ...spec, memory: memoryBytes, disks: [], nics: [], sharedMemory: [], qemuArgs: [...spec.qemuArgs] };
  const { pid } = await host.client.createVm(request);
  using guest = Guest.find(pid!)!;
  await guest.booted();
  await writeOwn(guest);
}

/** Memory that no other VM has anything of. */
export async function writeOwn(guest: Guest): Promise<void> {
  await guest.type(`run head -c ${OWN_MIB * 2 ** 20} /dev/urandom >/own`);
}

/** Throws when it is not there, or its memory is not what it must be. The destination tidies up a moment after the end. */
export async function checkFleetVm(hosts: readonly GodwitHost[], name: string): Promise<void> {
  const deadlineMs = performance.now() + ARRIVAL_MS;
  for (;;) {
    const lists = await Promise.all(hosts.map((host) => host.client.listVms()));
    const [view, ...others] = lists.flat().filter((vm) => vm.name === name);
    if (view && view.migration === null && others.length === 0) {
      using guest = Guest.find(view.pid!)!;
      const damage = await guest.findDamage();
      if (damage !== undefined) throw new Error(`${name}: ${damage}`);
      return;
    }
    if (performance.now() > deadlineMs) throw new Error(`${name} is at ${others.length + Number(!!view)} hosts`);
    await delay(POLL_MS);
  }
}
