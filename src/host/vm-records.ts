/**
 * The records of this host's VMs: on disk, and on their way to it.
 *
 * Must hold: what is saved never throws (unsaved-vms.ts), and what is forgotten is not saved any more.
 */
import type { VmRecord } from '../migration/vm-record.ts';
import type { Logger } from './logger.ts';
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

  /** One that cannot be read is left as it is. */
  loadAll(): StoredVm[] {
    const { vms, damaged } = this.#store.loadAll();
    for (const { path, reason } of damaged) {
      this.#log.error({ path, reason }, 'cannot read a VM record; left as it is');
    }
    return vms;
  }

  save(vm: StoredVm): void {
    this.#unsaved.save(vm);
  }

  /** Its record on disk is the latest. */
  isSaved(name: string): boolean {
    return this.#unsaved.isSaved(name);
  }

  /** Its history stays, unless `everything`. */
  forget(name: string, everything: boolean): void {
    this.#unsaved.forget(name);
    this.#store.remove(name, { everything });
  }

  removeInstance(record: VmRecord): void {
    this.#store.removeInstance(record);
  }

  [Symbol.dispose](): void {
    this.#unsaved[Symbol.dispose]();
  }
}
