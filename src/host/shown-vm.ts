/** A VM of this host as the API shows it. */
import type { VmView } from '../api/vm-schema.ts';
import { type HostRegion, namesOf } from './host-region.ts';
import type { StoredVm } from './vm-store.ts';

/** What is not in its record. */
export type ShownNow = Pick<VmView, 'owner' | 'state' | 'migration' | 'sharedMemory' | 'qemuVersion' | 'notes'>;

export function viewOfVm({ record, ended, notes }: StoredVm, now: ShownNow): VmView {
  return {
    name: record.name,
    state: now.state,
    owner: now.owner,
    uuid: record.uuid,
    pid: ended ? null : record.pid,
    qemuVersion: ended ? null : now.qemuVersion,
    memoryBytes: record.memoryBytes,
    sharedMemory: now.sharedMemory,
    nics: record.nics ?? [],
    vcpus: record.vcpus,
    epoch: record.epoch,
    adopted: record.adopted,
    migration: now.migration,
    qmpPath: ended ? null : record.qmpPath,
    consoleLogPath: record.consoleLogPath,
    arrivedFrom: record.arrivedFrom,
    createdAtMs: record.createdAt,
    ended,
    notes: [...notes, ...now.notes],
  };
}

/** @param vm - whose view it is in */
export function viewOfRegions(regions: readonly HostRegion[], vm: string): VmView['sharedMemory'] {
  return regions.map((region) => ({
    name: region.name,
    sizeBytes: region.bytes,
    path: region.path,
    sharedWith: namesOf(region).filter((name) => name !== vm),
  }));
}
