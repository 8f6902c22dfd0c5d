/**
 * Which VM a name stands for on this host: one that is here, one on its way here, or one on its way from here.
 *
 * Must hold: a VM that has ended gives its name to one that comes, once its migration has begun.
 */
import type { VmView } from '../api/vm-schema.ts';
import { type ArrivingVm, ArrivingVms, arrivingView } from './arriving-vm.ts';
import { LeavingVms } from './leaving-vms.ts';
import type { Vm } from './vm.ts';

export class VmNames {
  readonly here = new Map<string, Vm>();
  readonly arriving = new ArrivingVms();
  readonly leaving = new LeavingVms();
  /** Their QEMU is being started. */
  readonly starting = new Set<string>();

  all(): string[] {
    return [...new Set([...this.here.keys(), ...this.arriving.names(), ...this.leaving.names()])].sort();
  }

  /** Whether a VM of this name may come here now; the reason if not. */
  refusalFor(name: string): string | undefined {
    if (this.arriving.get(name) || this.starting.has(name)) {
      return `a VM named ${name} is on its way to this host already`;
    }
    const vm = this.here.get(name);
    return vm && !vm.hasEnded ? `this host already has a VM named ${name}` : undefined;
  }

  viewOf(name: string): VmView | undefined {
    const coming = this.comingAs(name);
    return coming ? arrivingView(coming) : (this.here.get(name)?.view() ?? this.leaving.get(name));
  }

  /** The migration that a VM which is not here is on its way by. */
  migrationOf(name: string): string | undefined {
    return this.comingAs(name)?.migration ?? this.leaving.get(name)?.migration ?? undefined;
  }

  /** The VM, here or on its way here, that has this MAC address. */
  holderOf(mac: string): string | undefined {
    const here = [...this.here.values()].find((vm) => !vm.hasEnded && vm.record.nics?.some((nic) => nic.mac === mac));
    return here?.name ?? this.arriving.holderOf(mac);
  }

  /** One that comes, whose begun migration takes the name from a VM that has ended. */
  comingAs(name: string): ArrivingVm | undefined {
    const coming = this.arriving.get(name);
    return coming && (this.here.get(name)?.hasEnded ?? true) ? coming : undefined;
  }
}
