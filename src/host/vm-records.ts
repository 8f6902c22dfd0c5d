/**
 * The records of this host's VMs: on disk, and on their way to it.
 *
 * Must hold: what is saved never throws (unsaved-vms.ts), and what is forgotten is not saved any more.
 */
import type { VmRecord } from '../migration/vm-record.ts';
import type { Logger } from './logger.ts';
import type { ReplacedQemu } from './recovered-upgrades.ts';
import { UnsavedVms } from './unsaved-vms.ts';
import { type StoredVm, VmStore } from './vm-store.ts';

export class VmRecords implements Disposable {
  readonly #store: VmStore;
  readonly #unsaved: UnsavedVms;
  readonly #log: Logger;

  constructor(stateDirectory: string, log: Logger) {
    this.#store = new VmStore(stateDirectory);
    this.#unsaved = new UnsavedVms(this.#store, log);
    this.#log = log;
  }

  /** One that cannot be read is left as it is; one of a VM that has another QEMU by now is put right. */
  loadAll(replaced: ReadonlyMap<string, ReplacedQemu>): StoredVm[] {
    const { vms, damaged } = this.#store.loadAll();
    for (const { path, reason } of damaged) {
      this.#log.error({ path, reason }, 'cannot read a VM record; left as it is');
    }
    return vms.map((stored) => {
      const upgrade = replaced.get(stored.record.name);
      return upgrade ? this.replace(stored, upgrade) : stored;
    });
  }

  /** @returns what was given */
  save(vm: StoredVm): StoredVm {
    this.#unsaved.save(vm);
    return vm;
  }

  /** The VM is in another QEMU. What is left of the old one goes when the record of the new one is on disk. */
  replace(old: StoredVm, { record, saved }: ReplacedQemu): StoredVm {
    const stored: StoredVm = { ...old, record, ended: null };
    this.#unsaved.save(stored, () => {
      this.removeInstance(old.record);
      saved();
    });
    return stored;
  }

  /** It was replaced, and a daemon that dies now would not know without what is left of that. */
  isBeingReplaced(name: string): boolean {
    return this.#unsaved.isOwing(name);
  }

  /** Its history stays, unless `everything`. */
  forget(name: string, everything: boolean): void {
    this.#store.remove(name, { everything });
    this.#unsaved.forget(name);
  }

  removeInstance(record: VmRecord): void {
    this.#store.removeInstance(record);
  }

  [Symbol.dispose](): void {
    this.#unsaved[Symbol.dispose]();
  }
}
