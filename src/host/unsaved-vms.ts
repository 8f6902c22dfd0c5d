/**
 * VM records on their way to the disk, which can be full for a while.
 *
 * Owns: those that could not be saved, and when they are tried again. Must hold: nothing that has happened to a VM waits
 * for the disk, nor is undone by it; what is saved late is the VM's latest record, and never that of a VM that has gone.
 */
import { explain } from '../base/errors.ts';
import type { Logger } from './logger.ts';
import type { StoredVm } from './vm-store.ts';

interface Unsaved {
  readonly vm: StoredVm;
  /** What is done once it is saved, or the VM has gone. */
  readonly owed: readonly (() => void)[];
}

/** A daemon that dies meanwhile would not know what has changed, so not for long. */
const RETRY_MS = 2000;

export class UnsavedVms implements Disposable {
  readonly #store: { save(vm: StoredVm): void };
  readonly #log: Pick<Logger, 'error' | 'info'>;
  readonly #records = new Map<string, Unsaved>();
  /** Names of those whose failure has been told. */
  readonly #told = new Set<string>();
  #retry: NodeJS.Timeout | undefined;

  constructor(store: { save(vm: StoredVm): void }, log: Pick<Logger, 'error' | 'info'>) {
    this.#store = store;
    this.#log = log;
  }

  /**
   * Saves it now, or as soon as it can be. Never throws.
   *
   * @param saved - called when a daemon that dies would find this record, a later one, or none because the VM has gone; done
   *   again, with the saving, when it throws
   */
  save(vm: StoredVm, saved?: () => void): void {
    const owed = this.#records.get(vm.record.name)?.owed ?? [];
    this.#records.set(vm.record.name, { vm, owed: saved ? [...owed, saved] : owed });
    this.#saveAll();
  }

  /** Something is still to be done when its record is saved. */
  isOwing(name: string): boolean {
    return (this.#records.get(name)?.owed.length ?? 0) > 0;
  }

  /** The VM has gone, and its record with it. */
  forget(name: string): void {
    const unsaved = this.#records.get(name);
    this.#records.delete(name);
    this.#told.delete(name);
    for (const pay of unsaved?.owed ?? []) pay();
  }

  /** A last try. */
  [Symbol.dispose](): void {
    this.#saveAll();
    clearTimeout(this.#retry);
  }

  #saveAll(): void {
    for (const [name, { vm, owed }] of this.#records) {
      try {
        this.#store.save(vm);
        for (const pay of owed) pay();
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
