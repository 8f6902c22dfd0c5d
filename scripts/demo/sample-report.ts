/** A report for tests: of a migration in which everything went well, unless it is told otherwise. */
import type { ReportView } from '../../src/api/migration-schema.ts';

export function sampleReport(
  change: Partial<Pick<ReportView, 'from' | 'owner' | 'mode' | 'outcome' | 'postCopy'>> & {
    readonly equal?: boolean;
  } = {},
): ReportView {
  const { equal = true, ...rest } = change;
  return {
    id: '00000000-0000-4000-8000-000000000000',
    vm: 'web1',
    from: 'a',
    to: '127.0.0.1:7710',
    mode: 'pre-copy',
    outcome: 'completed',
    error: null,
    interrupted: false,
    startedAt: 1_700_000_000_000,
    totalMs: 1234,
    downtimeMs: 30,
    finishByMs: null,
    downtimeLimitMs: 50,
    downtimeParts: {
      stop: 1,
      lastRound: 2,
      saveState: 3,
      transferState: 4,
      loadState: 5,
      commit: 2,
      resume: 1,
      verify: 12,
    },
    wireBytes: 300 * 2 ** 20,
    ramBytes: 512 * 2 ** 20,
    pages: { total: 131_072, hole: 54_000, zero: 5000, sent: 72_000, resent: 100 },
    disks: [],
    packing: null,
    tracker: { kind: 'kernel', reason: null, groups: null },
    diskRequests: [],
    rounds: [],
    prediction: null,
    throttle: { mechanism: 'none', maxPercent: 0, activeMs: 0 },
    postCopy: null,
    verify: { scheme: 'xxh3-128', pages: 72_000, equal },
    announcements: null,
    hooks: [],
    owner: 'b',
    clockUncertaintyMs: 0.1,
    ...rest,
  };
}
