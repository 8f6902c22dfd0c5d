/** The report of a migration of which nothing was measured. */
import type { ErrorBody } from '../base/errors.ts';
import { type MigrationOutcome, type MigrationReport, NOTHING_TRACKED } from './report.ts';
import type { MigrationMode } from './request.ts';

export interface EmptyReportFacts {
  readonly input: {
    readonly id: string;
    readonly vm: { readonly name: string; readonly memoryBytes: number };
    readonly to: string;
    readonly hostName: string;
    readonly options: { readonly mode: MigrationMode };
  };
  readonly startedAt: number;
  readonly totalMs: number;
  readonly outcome: MigrationOutcome;
  readonly error: ErrorBody | null;
  /** See `MigrationReport`. */
  readonly interrupted?: boolean;
}

export function emptyReport({
  input,
  startedAt,
  totalMs,
  outcome,
  error,
  interrupted,
}: EmptyReportFacts): MigrationReport {
  return {
    id: input.id,
    vm: input.vm.name,
    from: input.hostName,
    to: input.to,
    mode: input.options.mode,
    outcome,
    error,
    interrupted: interrupted ?? false,
    startedAt,
    totalMs,
    downtimeMs: null,
    finishByMs: null,
    downtimeLimitMs: null,
    downtimeParts: null,
    wireBytes: 0,
    ramBytes: input.vm.memoryBytes,
    pages: { total: Math.ceil(input.vm.memoryBytes / 4096), hole: 0, zero: 0, sent: 0, resent: 0 },
    disks: [],
    packing: null,
    tracker: NOTHING_TRACKED,
    rounds: [],
    prediction: null,
    throttle: { mechanism: 'none', maxPercent: 0, activeMs: 0 },
    postCopy: null,
    verify: null,
    announcements: null,
    hooks: [],
    diskRequests: [],
    owner: input.hostName,
    clockUncertaintyMs: 0,
  };
}
