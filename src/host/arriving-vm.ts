/**
 * The VMs on their way to here, before they have arrived.
 *
 * Must hold: one VM of a name at a time; one whose migration has not begun gives way to a newer offer.
 */
import type { VmView } from '../api/vm-schema.ts';
import type { ComingVm } from '../migration/handle.ts';

export interface ArrivingVm {
  readonly name: string;
  readonly uuid: string;
  readonly epoch: number;
  readonly memoryBytes: number;
  readonly from: string;
  readonly migration: string;
  /** MAC addresses of its network interfaces. */
  readonly macs: readonly string[];
  /** Its QEMU here; null: it was not started yet. */
  readonly pid: number | null;
}

/** As the API shows it. */
export function arrivingView(vm: ArrivingVm): VmView {
  return {
    name: vm.name,
    state: 'arriving',
    owner: vm.from,
    uuid: vm.uuid,
    pid: vm.pid,
    qemuVersion: null,
    memoryBytes: vm.memoryBytes,
    sharedMemory: [],
    nics: [],
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

export class ArrivingVms {
  /** Shown once its migration has begun (`announced`). */
  readonly #vms = new Map<string, ArrivingVm & { readonly announced: boolean }>();

  has(name: string): boolean {
    return this.#vms.has(name);
  }

  /** Of those whose migration has begun. */
  get(name: string): ArrivingVm | undefined {
    const vm = this.#vms.get(name);
    return vm?.announced === true ? vm : undefined;
  }

  /** The VM on its way here that has this MAC address. */
  holderOf(mac: string): string | undefined {
    return [...this.#vms.values()].find(({ macs }) => macs.includes(mac))?.name;
  }

  /** Of those whose migration has begun. */
  names(): string[] {
    return [...this.#vms.values()].filter(({ announced }) => announced).map(({ name }) => name);
  }

  /** QEMUs that their memory has begun to fill. */
  pids(): number[] {
    return [...this.#vms.values()].flatMap(({ pid }) => pid ?? []);
  }

  expect(vm: Omit<ArrivingVm, 'pid'>): void {
    this.#vms.set(vm.name, { ...vm, pid: null, announced: false });
  }

  /** An earlier daemon had admitted it. */
  expectRecovered({ vm: name, uuid, epoch, ramBytes: memoryBytes, peer: from, id: migration, qemu }: ComingVm): void {
    const pid = qemu?.pid ?? null;
    // Those of its addresses that another VM has were refused when it was admitted.
    this.#vms.set(name, { name, uuid, epoch, memoryBytes, from, migration, macs: [], pid, announced: true });
  }

  /** The migration that was admitted has begun. */
  announce(name: string, migration: string): ArrivingVm | undefined {
    const vm = this.#vms.get(name);
    if (vm?.migration !== migration) return undefined;
    this.#vms.set(name, { ...vm, announced: true });
    return vm;
  }

  started(name: string, migration: string, pid: number): void {
    const vm = this.#vms.get(name);
    if (vm?.migration === migration) this.#vms.set(name, { ...vm, pid });
  }

  /** It has arrived, or does not come. Returns whether it had been shown. */
  end(name: string, migration: string): boolean {
    const vm = this.#vms.get(name);
    return vm?.migration === migration && this.#vms.delete(name) && vm.announced;
  }
}
