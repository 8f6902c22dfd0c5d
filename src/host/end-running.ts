/**
 * The migrations of a daemon that ends: what can be cancelled is, and the rest is waited for.
 *
 * Must hold: none that began in the last moment is forgotten, and one that does not answer holds up no other.
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { explain } from '../base/errors.ts';
import type { Logger } from './logger.ts';
import type { RunningMigration } from './running-migration.ts';

/** Returns how many still run after `timeoutMs`. @param running - by id; those that have ended leave it */
export async function endRunning(
  running: ReadonlyMap<string, Pick<RunningMigration, 'handle' | 'finished'>>,
  timeoutMs: number,
  log: Pick<Logger, 'info'>,
): Promise<number> {
  const isLate = Promise.withResolvers<void>();
  const timer = setTimeout(isLate.resolve, timeoutMs);
  const told = new Set<string>();
  let isOver = false;
  const endAll = async (): Promise<void> => {
    while (running.size > 0 && !isOver) {
      for (const [id, { handle }] of running) {
        if (told.has(id)) continue;
        told.add(id);
        // Too late to cancel: the VM is at the destination and its last pages are on their way; that is waited for.
        handle.command({ kind: 'cancel' }).catch((error: unknown) => {
          log.info({ migration: id, reason: explain(error) }, 'not cancelled');
        });
      }
      await Promise.race([...running.values()].map(({ finished }) => finished));
      await nextTurn();
    }
  };
  await Promise.race([endAll(), isLate.promise]);
  isOver = true;
  clearTimeout(timer);
  return running.size;
}
