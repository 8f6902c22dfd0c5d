/**
 * Synthetic fleets by a few numbers: hosts that are all alike, VMs of some images, a mix of workloads.
 *
 * Pure. Must hold: the hosts that stay have room for one and a half times what leaves, so that a plan has a choice; every host's VMs are
 * as mixed as the whole fleet's.
 */
import type { FleetHost } from './fleet-state.ts';
import { type FleetSpec, sampledKeysOf } from './synthetic-fleet.ts';
import { mixWorkloads, type WorkloadMix } from './workload-mix.ts';

export interface UniformFleet {
  readonly seed: number;
  /** All of them, and those that all VMs leave. */
  readonly hosts: number;
  readonly leaving: number;
  /** VMs on each host that is left, and on each other one. */
  readonly vms: number;
  readonly residents: number;
  readonly ramBytes: number;
  /** Of a VM's pages with data those that are as in its image. */
  readonly commonPart: number;
  readonly images: number;
  readonly mix: WorkloadMix;
  /** Of each host's port. */
  readonly bytesPerSecond: number;
  /** The shortest period of VMs with a rhythm; the longest is twice that. */
  readonly periodMs: number;
}

/** Headers of packets. */
const USABLE_PART = 0.94;
const ROOM_FACTOR = 1.5;
/** How often a host looks at a VM, and how many looks a cycle needs for its rhythm to be seen. */
const USUAL_SAMPLE_MS = 60_000;
const SAMPLES_A_PERIOD = 6;

export function uniformFleetSpec(fleet: UniformFleet): FleetSpec & { readonly leaving: readonly string[] } {
  const { hosts: count, leaving, vms, residents, ramBytes, bytesPerSecond, periodMs } = fleet;
  const names = Array.from({ length: count }, (_, i) => `host${String(i + 1).padStart(String(count).length, '0')}`);
  const left = names.slice(0, leaving);
  const room = Math.ceil((ROOM_FACTOR * vms * leaving) / (count - leaving)) + residents;
  const vmCount = totalVms(fleet);
  return {
    seed: fleet.seed,
    vmCount,
    images: fleet.images,
    ramBytes,
    imagePart: fleet.commonPart,
    hosts: names.map((name): FleetHost => {
      const takesVms = !left.includes(name);
      const memoryBytes = (takesVms ? room : vms) * ramBytes;
      return { name, memoryBytes, sendBytesPerSecond: bytesPerSecond, receiveBytesPerSecond: bytesPerSecond, takesVms };
    }),
    on: names.flatMap((name) => Array.from({ length: left.includes(name) ? vms : residents }, () => name)),
    linkBytesPerSecond: bytesPerSecond * USABLE_PART,
    workloads: mixWorkloads(fleet.mix, vmCount),
    periodMs: [periodMs, 2 * periodMs],
    sampleMs: Math.min(USUAL_SAMPLE_MS, periodMs / SAMPLES_A_PERIOD),
    leaving: left,
  };
}

export function totalVms({ hosts, leaving, vms, residents }: UniformFleet): number {
  return leaving * vms + (hosts - leaving) * residents;
}

/** Of all VMs together: what the contents of a fleet take is in proportion to it. */
export function totalKeys(fleet: UniformFleet): number {
  return totalVms(fleet) * sampledKeysOf(fleet.ramBytes);
}
