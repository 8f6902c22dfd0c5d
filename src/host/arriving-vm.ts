/** A VM on its way to here, before it has arrived. */
import type { VmView } from '../api/vm-schema.ts';

export interface ArrivingVm {
  readonly name: string;
  readonly uuid: string;
  readonly epoch: number;
  readonly memoryBytes: number;
  readonly from: string;
  readonly migration: string;
}

/** As the API shows it. */
export function arrivingView(vm: ArrivingVm): VmView {
  return {
    name: vm.name,
    state: 'arriving',
    owner: vm.from,
    uuid: vm.uuid,
    pid: null,
    memoryBytes: vm.memoryBytes,
    vcpus: 0,
    epoch: vm.epoch,
    adopted: false,
    migration: vm.migration,
    qmpPath: null,
    consoleLogPath: null,
    arrivedFrom: vm.from,
    createdAtMs: 0,
    ended: null,
    notes: [],
  };
}
