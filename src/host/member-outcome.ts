/**
 * How a VM of a group stands before its migration, and what a migration of it that has ended says.
 */
import type { GroupMemberView } from '../api/group-migration-schema.ts';
import { GodwitError } from '../base/errors.ts';
import type { MigrationReport } from '../migration/report.ts';

/** Of one for which nothing was done yet. */
export function newMemberView(vm: string): GroupMemberView {
  return { vm, migration: null, state: 'waiting', downtimeMs: null, downtimeParts: null, stoppedBy: null, attempts: 0 };
}

/** Why it stays. */
export function failureOf({ error, outcome }: MigrationReport): GodwitError {
  if (error) return GodwitError.fromBody(error);
  const code = outcome === 'cancelled' ? 'GW_MIGRATION_CANCELLED' : 'GW_INTERNAL';
  return new GodwitError(code, { reason: `a migration has ended as ${outcome} and says no more` });
}
