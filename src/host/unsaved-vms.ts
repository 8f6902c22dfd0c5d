/**
 * VM records on their way to the disk, which can be full for a while.
 *
 * Owns: those that could not be saved, and when they are tried again. Must hold: nothing that has happened to a VM waits
 * for the disk, nor is undone by it; what is saved late is the VM's latest record, and never that of a VM that has gone.
 */
import { explain } from '../base/errors.ts';
import type { Logger } from './logger.ts';
import type { StoredVm } from './vm-store.ts';

/** A daemon that dies meanwhile would not know what has changed, so not for long. */
const RETRY_MS = 2000;

export class UnsavedVms implements Disposable {
  readonly #store: { save(vm: StoredVm): void };
  readonly #log: Pick<Logger, 'error' | 'info'>;
  readonly #records = new Map<string, StoredVm>();
  /** Names of those whose failure has been told. */
  readonly #told = new Set<string>();
  #retry: NodeJS.Timeout | undefined;

  constructor(store: { save(vm: StoredVm): void }, log: Pick<Logger, 'error' | 'info'>) {
    this.#store = store;
    this.#log = log;
  }

  /** Saves it now, or as soon as it can be. Never throws. */
  save(vm: StoredVm): void {
    this.#records.set(vm.record.name, vm);
    this.#saveAll();
  }

  isSaved(name: string): boolean {
    return !this.#records.has(name);
  }

  /** The VM has gone. */
  forget(name: string): void {
    this.#records.delete(name);
    this.#told.delete(name);
  }

  /** A last try. */
  [Symbol.dispose](): void {
    this.#saveAll();
    clearTimeout(this.#retry);
  }

  #saveAll(): void {
    for (const [name, vm] of this.#records) {
      try {
        this.#store.save(vm);
        this.#records.delete(name);
        if (this.#told.delete(name)) this.#log.info({ vm: name }, 'the record of the VM is saved');
      } catch (error) {
        if (this.#told.has(name)) continue;
        this.#told.add(name);
        const reason = explain(error);
        this.#log.error({ vm: name, reason }, 'cannot save the record of a VM; tried again until it can be');
      }
    }
    clearTimeout(this.#retry);
    if (this.#records.size > 0) this.#retry = setTimeout(() => this.#saveAll(), RETRY_MS).unref();
  }
}
