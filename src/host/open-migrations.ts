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

/** For what is owed to other hosts: one that is there has answered by then, and one that is not is told by the next daemon. */
const DEBTS_MS = 2000;

export class OpenMigrations {
  /** With what resolves when nothing of it runs any more. */
  readonly #open = new Map<MigrationHandle, Promise<unknown>>();
  /** Those of which the end has not been told. */
  readonly #untold = new Map<MigrationHandle, Promise<unknown>>();

  get count(): number {
    return this.#open.size;
  }

  /** @param finished - resolves when everything about its end is stored and told */
  add(handle: MigrationHandle, finished: Promise<unknown>): void {
    const told = Promise.allSettled([finished]).then(() => this.#untold.delete(handle));
    this.#untold.set(handle, told);
    this.#open.set(
      handle,
      Promise.allSettled([told, handle.exited]).then(() => this.#open.delete(handle)),
    );
  }

  /**
   * `admit` lets no id in twice; should it happen all the same, the first keeps its place and the second goes.
   * @param settled - resolves with what cleans up after it
   */
  cancel(handle: MigrationHandle, settled: Promise<() => Promise<void>>, log: Pick<Logger, 'error'>): void {
    const facts = { migration: handle.id, vm: handle.vm };
    log.error(facts, 'a second migration with this id is cancelled');
    handle.command({ kind: 'cancel' }).catch((error: unknown) => {
      log.error({ ...facts, reason: explain(error) }, 'not cancelled');
    });
    this.add(
      handle,
      Promise.all([settled, handle.ended]).then(([cleanUp]) => cleanUp()),
    );
  }

  /** Returns of how many the end is not known after `timeoutMs`. */
  async endAll(timeoutMs: number, log: Pick<Logger, 'info'>): Promise<number> {
    await within(timeoutMs, async (isOver) => {
      const told = new Set<MigrationHandle>();
      while (this.#untold.size > 0 && !isOver()) {
        for (const handle of this.#untold.keys()) {
          if (told.has(handle)) continue;
          told.add(handle);
          // Too late to cancel: the VM is at the destination and its last pages are on their way; that is waited for.
          handle.command({ kind: 'cancel' }).catch((error: unknown) => {
            log.info({ migration: handle.id, reason: explain(error) }, 'not cancelled');
          });
        }
        await Promise.race(this.#untold.values());
        await nextTurn();
      }
    });
    await within(DEBTS_MS, () => Promise.all(this.#open.values()));
    return this.#untold.size;
  }
}

/** Waits for the work, at most so long; it is told when the time is up. */
async function within(ms: number, work: (isOver: () => boolean) => Promise<unknown>): Promise<void> {
  const late = Promise.withResolvers<void>();
  let isOver = false;
  const timer = setTimeout(late.resolve, ms);
  await Promise.race([work(() => isOver), late.promise]);
  isOver = true;
  clearTimeout(timer);
}
