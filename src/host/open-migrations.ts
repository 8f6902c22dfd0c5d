/**
 * The migrations of a daemon that something still runs of: one whose end has been told can still owe the other host a
 * word, or keep the VM's memory for its return.
 *
 * Owns: the knowledge which these are, and how they end with the daemon: what can be cancelled is, and the rest is waited
 * for. Must hold: none that began in the last moment is forgotten, and one that does not answer holds up no other.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { explain } from '../base/errors.ts';
import type { MigrationHandle } from '../migration/handle.ts';
import type { Logger } from './logger.ts';

export class OpenMigrations {
  /** With what resolves when nothing of it runs any more. */
  readonly #open = new Map<MigrationHandle, Promise<unknown>>();

  get count(): number {
    return this.#open.size;
  }

  /** @param finished - resolves when everything about its end is stored and told */
  add(handle: MigrationHandle, finished: Promise<unknown>): void {
    const over = Promise.allSettled([finished, handle.exited]).then(() => this.#open.delete(handle));
    this.#open.set(handle, over);
  }

  /** Returns how many are open after `timeoutMs`. */
  async endAll(timeoutMs: number, log: Pick<Logger, 'info'>): Promise<number> {
    const isLate = Promise.withResolvers<void>();
    const timer = setTimeout(isLate.resolve, timeoutMs);
    const told = new Set<MigrationHandle>();
    let isOver = false;
    const end = async (): Promise<void> => {
      while (this.#open.size > 0 && !isOver) {
        for (const handle of this.#open.keys()) {
          if (told.has(handle)) continue;
          told.add(handle);
          // Too late to cancel: the VM is at the destination and its last pages are on their way, or all is said but to
          // the other host; that is waited for.
          handle.command({ kind: 'cancel' }).catch((error: unknown) => {
            log.info({ migration: handle.id, reason: explain(error) }, 'not cancelled');
          });
        }
        await Promise.race(this.#open.values());
        await nextTurn();
      }
    };
    await Promise.race([end(), isLate.promise]);
    isOver = true;
    clearTimeout(timer);
    return this.#open.size;
  }
}
