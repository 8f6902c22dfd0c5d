/**
 * Migrations that wait for each other, told to go on.
 *
 * Must hold: nobody is told where one of those that are named is none that could be held here; one that cannot be told keeps no other
 * back, and who asks hears of it; one that is not held any more, or has ended, is as it should be.
 */
import type { MigrationView } from '../api/migration-schema.ts';
import { GodwitError } from '../base/errors.ts';
import type { RunningMigration } from './running-migration.ts';

export interface HeldMigrationsPort {
  show(id: string): MigrationView;
  runningOf(id: string): RunningMigration | undefined;
}

/** @throws GW_NOT_FOUND; GW_CONFLICT, after all that can be have been told */
export async function letGo(given: readonly string[], port: HeldMigrationsPort): Promise<MigrationView[]> {
  const named = given.map((id) => port.show(id));
  const incoming = named.find(({ direction }) => direction === 'incoming');
  if (incoming) {
    const reason = 'it comes in: tell the host that the VM leaves';
    throw new GodwitError('GW_CONFLICT', { kind: 'Migration', name: incoming.id, reason });
  }
  const running = named.flatMap(({ id }) => port.runningOf(id) ?? []);
  const told = await Promise.allSettled(running.map(({ handle }) => handle.command({ kind: 'go' })));
  for (const each of told) if (each.status === 'rejected') throw each.reason;
  return named.map(({ id }) => port.show(id));
}
