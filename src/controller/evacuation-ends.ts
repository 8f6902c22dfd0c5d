/** How migrations of an evacuation have ended, as it is accounted for. Pure. */
import type { GroupMigrationView } from '../api/group-migration-schema.ts';
import type { MigrationView, ReportView } from '../api/migration-schema.ts';
import type { Failed } from '../fleet/retries.ts';
import type { Arrival, Failure } from './evacuation-port.ts';
import type { RunningMove } from './settled-picture.ts';

/** @param sharedBytes - that it sent of memory that it shares */
export function arrivalOf(
  { move, startedAtMs, fleetVm }: Pick<RunningMove, 'move' | 'startedAtMs' | 'fleetVm'>,
  id: string,
  { totalMs, wireBytes, downtimeMs }: ReportView,
  { sharedBytes, endKnownAtMs }: { readonly sharedBytes: number; readonly endKnownAtMs: number },
): Arrival {
  const { vm, to, prediction } = move;
  return {
    ...{ vm, id, startedAtMs, endKnownAtMs, ramBytes: fleetVm?.ramBytes ?? null, prediction, to, totalMs, downtimeMs },
    predictedMs: prediction.totalMs,
    predictedBytes: prediction.bytes.p50,
    bytes: wireBytes + sharedBytes,
  };
}

/** @param known - what became of it before */
export function failedAgain(known: Failure | undefined, to: string, atMs: number, reason: string): Failed {
  const before = known?.kind === 'failed' ? known : null;
  const failedAt = [...(before?.failedAt ?? []).filter((host) => host !== to), to];
  return { kind: 'failed', to, failedAt, atMs, attempts: (before?.attempts ?? 0) + 1, reason };
}

/** An older controller wrote down only where it failed last. */
export function completeFailure(failure: Failure): Failure {
  if (failure.kind !== 'failed') return failure;
  const { failedAt = [failure.to] }: Partial<Failed> = failure;
  return { ...failure, failedAt };
}

/**
 * Why, and whether it is not tried again.
 * @param isOurs - the evacuation is being cancelled
 * @param absentee - because of which it was cancelled: they go together
 */
export function failureOf(
  { state, report }: MigrationView,
  isOurs: boolean,
  absentee: string | null,
): [reason: string, isFinal: boolean] {
  const said = report?.error?.message ?? `it ended as ${state}`;
  if (report?.outcome !== 'cancelled' || isOurs) return [said, report?.error?.code === 'GW_MIGRATION_BLOCKED'];
  if (absentee !== null) return [`it goes together with ${absentee}, which has stayed`, false];
  return [`a person cancelled it: ${said}`, true];
}

/** The same of one of a group. */
export function failureOfGroup(
  { state, error, group, notes }: GroupMigrationView,
  isOurs: boolean,
): [reason: string, isFinal: boolean] {
  const isCancelled = state === 'cancelled' && !isOurs;
  const said = error?.message ?? notes.at(-1) ?? `it ended as ${state}`;
  const who = isCancelled ? `a person cancelled the migration of its group ${group}` : `its group ${group}`;
  return [`${who}: ${said}`, isCancelled || error?.code === 'GW_MIGRATION_BLOCKED'];
}
