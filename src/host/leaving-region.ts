/**
 * A region of a group that leaves: where its VMs have it, and its thread.
 */
import { isSameFile } from '../linux/file-users.ts';
import { readMappings } from '../linux/process.ts';
import type { HostTraffic } from '../migration/handle.ts';
import { joinMappings } from '../qemu/ram.ts';
import type {
  LeftVm,
  RegionSourceEvent,
  RegionSourceHandle,
  startRegionSource,
  WatchedVm,
} from '../sharing/region-threads.ts';
import type { HostRegion } from './host-region.ts';
import type { LeavingGroupFiles } from './leaving-group.ts';
import type { VmRegistry } from './vm-registry.ts';

export interface LeavingRegionHost {
  readonly hostName: string;
  readonly registry: Pick<VmRegistry, 'find'>;
  readonly traffic: HostTraffic;
  readonly startRegion: typeof startRegionSource;
  readonly files: LeavingGroupFiles;
  /** An earlier daemon has begun it. */
  readonly resumes: boolean;
}

export function openLeavingRegion(
  { hostName, registry, traffic, startRegion, files, resumes }: LeavingRegionHost,
  region: HostRegion,
  onEvent: (event: RegionSourceEvent) => void,
): RegionSourceHandle {
  const { name, bytes, path } = region;
  const { id: group, body } = files.record;
  const kept = files.region(name, resumes);
  const places = kept.resumes ?? placesOf(region);
  return startRegion({
    group,
    region: { name, bytes, path },
    to: body.to,
    hostName,
    dscp: traffic.dscp,
    tls: traffic.tls,
    ...kept,
    vms: places.map((place) => ({ ...place, canStopInFault: usesKvm(registry.find(place.vm)?.record.args ?? []) })),
    onWatched(insideFds) {
      const left = places.flatMap((place) => {
        const insideFd = insideFds.get(place.vm);
        return insideFd === undefined ? [] : [{ ...place, insideFd }];
      });
      // What is known already needs no disk.
      const isKnown = (vm: LeftVm): boolean =>
        kept.resumes?.some((known) => known.vm === vm.vm && known.insideFd === vm.insideFd) ?? false;
      if (!left.every(isKnown)) files.watched(name, left);
    },
    onEvent,
  });
}

/** Where its VMs have it. */
export function placesOf(region: HostRegion): WatchedVm[] {
  return region.members.flatMap(({ vm, process }) => {
    const mapped = process && joinMappings(readMappings(process.pid)).find((file) => isSameFile(file, region));
    return mapped ? [{ vm, ...process, hostAddress: mapped.start }] : [];
  });
}

/** Under KVM a vCPU that waits in a fault can be stopped; with TCG it has to be served first. */
function usesKvm(args: readonly string[]): boolean {
  return args.some((arg, index) => args[index - 1] === '-accel' && /^kvm\b/.test(arg));
}
