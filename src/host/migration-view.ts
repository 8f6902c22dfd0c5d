/** A migration as the API shows it: while it runs, and when only its report is left. */
import type { MigrateBody, MigrationView } from '../api/migration-schema.ts';
import type { MigrationHandle } from '../migration/handle.ts';
import type { MigrationReport } from '../migration/report.ts';
import { DEFAULT_MIGRATION_OPTIONS, type MigrationOptions } from '../migration/request.ts';

export function viewOfHandle(handle: MigrationHandle): MigrationView {
  return {
    id: handle.id,
    vm: handle.vm,
    direction: handle.direction,
    peer: handle.peer,
    state: 'running',
    phase: 'preparing',
    options: handle.options,
    progress: null,
    notes: [],
    startedAtMs: Date.now(),
    report: null,
  };
}

export function viewOfReport(report: MigrationReport, hostName: string): MigrationView {
  const outgoing = report.from === hostName;
  return {
    id: report.id,
    vm: report.vm,
    direction: outgoing ? 'outgoing' : 'incoming',
    peer: outgoing ? report.to : report.from,
    state: report.outcome,
    phase: null,
    options: null,
    progress: null,
    notes: [],
    startedAtMs: report.startedAt,
    report,
  };
}

/** What was asked for, with the default of everything else. */
export function mergeOptions(body: MigrateBody): MigrationOptions {
  const { to: _to, requestId: _requestId, leader: _leader, throttle, ...rest } = body;
  return {
    ...DEFAULT_MIGRATION_OPTIONS,
    ...definedOnly(rest),
    throttle: { ...DEFAULT_MIGRATION_OPTIONS.throttle, ...definedOnly(throttle ?? {}) },
  };
}

type Defined<T> = { [K in keyof T]: Exclude<T[K], undefined> };

export function definedOnly<T extends object>(value: T): Defined<T> {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as Defined<T>;
}
