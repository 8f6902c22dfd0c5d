import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { largerTest } from '../../test/support/further-cases.ts';
import { roundFacts } from '../../test/support/round-facts.ts';
import { type SimulatedMigration, type SimulatedVm, simulate } from '../../test/support/simulated-vm.ts';
import { decide, initialThrottle } from './convergence.ts';
import { fitDirtyCurve } from './dirty-curve.ts';
import type { RoundFacts } from './dirty-estimate.ts';
import { progressPercent } from './percent.ts';
import { DEFAULT_MIGRATION_OPTIONS, type MigrationMode } from './request.ts';

/** 256 MiB of data on a link of 1 Gbit/s. */
const LINK = 30_000;
const BASE: SimulatedVm = { totalPages: 65_536, workingSetPages: 1, writesPerSecond: 0, order: 'sequential' };
const IDLE = BASE;
const BUSY: SimulatedVm = { ...BASE, workingSetPages: 16_384, writesPerSecond: 4_000 };
const REWRITER: SimulatedVm = { ...BASE, workingSetPages: 32_768, writesPerSecond: 380_000 };
const BURSTS: SimulatedVm = {
  ...BASE,
  workingSetPages: 20_000,
  writesPerSecond: 100_000,
  burst: { onMs: 500, periodMs: 3_000 },
};
const UNTHROTTLED = { ...DEFAULT_MIGRATION_OPTIONS.throttle, enabled: false };

function migrate(vm: SimulatedVm, mode: MigrationMode, more: Partial<SimulatedMigration> = {}) {
  return simulate({ vm, linkPagesPerSecond: LINK, ...more, options: { mode, ...more.options } });
}

function facts(more: Partial<RoundFacts>): RoundFacts {
  return roundFacts({
    rounds: [{ number: 1, sentPages: 65_536, sentBytes: 65_536 * 4112, skippedPages: 0, ms: 2_185, dirtyPages: 0 }],
    linkBytesPerSecond: LINK * 4112,
    elapsedMs: 2_185,
    ...more,
  });
}

describe('simulated VMs', () => {
  // Columns: VM, mode, skips rewritten pages, how it ends, rounds at most, total at most, downtime at most, slowed at most.
  test.each([
    ['idle', IDLE, 'pre-copy', false, 'finish', 1, 2_300, 20, 0],
    ['idle', IDLE, 'auto', false, 'finish', 1, 2_300, 20, 0],
    ['4000 pages/s', BUSY, 'pre-copy', false, 'finish', 3, 2_600, 50, 0],
    ['4000 pages/s', BUSY, 'auto', true, 'finish', 3, 2_600, 50, 0],
    ['4000 random pages/s', { ...BUSY, order: 'random' }, 'auto', false, 'finish', 3, 2_600, 50, 0],
    ['rewriter', REWRITER, 'pre-copy', false, 'finish', 8, 7_000, 50, 99],
    ['rewriter', REWRITER, 'pre-copy', true, 'finish', 6, 3_500, 50, 99],
    ['random rewriter', { ...REWRITER, order: 'random' }, 'pre-copy', false, 'finish', 8, 7_000, 50, 99],
    ['rewriter', REWRITER, 'auto', false, 'postCopy', 2, 4_500, 20, 50],
    ['rewriter', REWRITER, 'auto', true, 'postCopy', 2, 2_700, 20, 50],
    ['bursts', BURSTS, 'pre-copy', false, 'finish', 4, 4_000, 50, 99],
    ['bursts', BURSTS, 'auto', true, 'finish', 4, 4_000, 50, 50],
    ['idle', IDLE, 'hybrid', false, 'postCopy', 1, 2_300, 20, 0],
    ['4000 pages/s', BUSY, 'hybrid', false, 'postCopy', 2, 2_600, 20, 0],
    ['rewriter', REWRITER, 'hybrid', true, 'postCopy', 2, 4_500, 20, 0],
    ['rewriter', REWRITER, 'post-copy', true, 'postCopy', 0, 2_300, 20, 0],
  ] as const)('%s %o %s (skips: %s) ends with %s', (_, vm, mode, skips, end, rounds, totalMs, downtimeMs, slowed) => {
    const result = migrate(vm, mode, { skipsRewritten: skips });
    expect(result.end).toBe(end);
    expect(result.rounds).toBeLessThanOrEqual(rounds);
    expect(result.totalMs).toBeLessThanOrEqual(totalMs);
    expect(result.downtimeMs).toBeLessThanOrEqual(downtimeMs);
    expect(result.maxThrottlePercent).toBeLessThanOrEqual(slowed);
  });

  test('a rewriter in auto is over sooner than in pre-copy', () => {
    expect(migrate(REWRITER, 'auto').totalMs).toBeLessThan(migrate(REWRITER, 'pre-copy').totalMs);
  });

  test('pre-copy without a way to slow the VM gives up, and says why', () => {
    const result = migrate(REWRITER, 'pre-copy', { canThrottle: false });
    expect(result.decisions.at(-1)).toMatchObject({
      kind: 'giveUp',
      rule: 'V3-hopeless',
      code: 'GW_MIGRATION_NO_CONVERGENCE',
      reason: expect.stringContaining('without a way to slow the vCPUs, 128 MiB left'),
    });
    expect(result.rounds).toBeLessThanOrEqual(32);
  });

  test('a working set that is hopeless for pre-copy is told after the second round, and given up seconds later', () => {
    const result = migrate(REWRITER, 'pre-copy', { canThrottle: false });
    expect(result.decisions[2]).toMatchObject({ kind: 'nextRound', verdict: { kind: 'stalled' } });
    expect(result.totalMs).toBeLessThan(2_200 + 5_000 + 2 * 1_200);
  });

  test('a limit that is raised in time lets a hopeless migration finish', () => {
    const vm: SimulatedVm = { ...REWRITER, workingSetPages: 8_192 };
    expect(migrate(vm, 'pre-copy', { canThrottle: false })).toMatchObject({ end: 'giveUp', rule: 'V3-hopeless' });
    const raised = migrate(vm, 'pre-copy', { canThrottle: false, options: { maxDowntimeMs: 300 } });
    expect(raised).toMatchObject({ end: 'finish', rule: 'V3-threshold' });
  });

  test('bursts without a way to slow the VM are waited for', () => {
    expect(migrate(BURSTS, 'pre-copy', { canThrottle: false }).end).toBe('finish');
  });

  test('pre-copy with throttling switched off never slows the VM', () => {
    const result = migrate(REWRITER, 'pre-copy', { options: { throttle: UNTHROTTLED } });
    expect(result).toMatchObject({ end: 'giveUp', maxThrottlePercent: 0 });
  });

  largerTest('pre-copy with a timeout goes on until the timeout', () => {
    const options = { timeoutMs: 60_000, onTimeout: 'cancel', throttle: UNTHROTTLED } as const;
    const result = migrate(REWRITER, 'pre-copy', { options });
    expect(result.decisions.at(-1)).toMatchObject({ kind: 'giveUp', code: 'GW_MIGRATION_TIMEOUT', rule: 'deadline' });
    expect(result.totalMs).toBeGreaterThanOrEqual(60_000);
  });

  test('pre-copy with a timeout that pauses finishes with the VM stopped', () => {
    const options = { timeoutMs: 5_000, onTimeout: 'pause', throttle: UNTHROTTLED } as const;
    expect(migrate(REWRITER, 'pre-copy', { options })).toMatchObject({ end: 'finish', rule: 'deadline' });
  });

  test('auto goes to post-copy early enough to meet its deadline', () => {
    const vm: SimulatedVm = { ...BASE, workingSetPages: 60_000, writesPerSecond: 18_000 };
    const result = migrate(vm, 'auto', { options: { timeoutMs: 5_000, onTimeout: 'post-copy' } });
    expect(result).toMatchObject({ end: 'postCopy', rule: 'deadline' });
    expect(result.totalMs).toBeLessThanOrEqual(5_000);
  });

  test('auto starts with post-copy when there is no time for a full pass before', () => {
    expect(migrate(IDLE, 'auto', { options: { timeoutMs: 4_000 } })).toMatchObject({ end: 'postCopy', rounds: 0 });
  });

  test('auto where the destination cannot fetch pages is pre-copy', () => {
    const result = migrate(REWRITER, 'auto', { canPostCopy: false });
    expect(result).toMatchObject({ end: 'finish', rule: 'V3-threshold' });
  });

  test('every mode ends within its limits, whatever the VM does', () => {
    const vm = fc.record({
      totalPages: fc.constant(8_192),
      workingSetPages: fc.integer({ min: 1, max: 8_192 }),
      writesPerSecond: fc.integer({ min: 0, max: 300_000 }),
      order: fc.constantFrom('sequential' as const, 'random' as const),
    });
    const modes = fc.constantFrom<MigrationMode>('auto', 'pre-copy', 'hybrid', 'post-copy');
    fc.assert(
      fc.property(vm, modes, fc.boolean(), (simulated, mode, skipsRewritten) => {
        const result = migrate(simulated, mode, { skipsRewritten, maxRounds: 120 });
        expect(result.end).not.toBe('nextRound');
        expect(mode === 'pre-copy' && result.end === 'postCopy').toBe(false);
        expect(result.end === 'giveUp' ? 0 : result.downtimeMs).toBeLessThanOrEqual(50);
      }),
      { numRuns: 150 },
    );
  });
});

describe('decide', () => {
  test('finishes exactly when the rest and the fixed costs fit the limit', () => {
    const fixedMs = 13 + 100_000 / (LINK * 4.112);
    const fitting = Math.floor((50 - fixedMs) * (LINK / 1000));
    // The last round left as much as the one before it: another one makes nothing cheaper.
    const round = { sentPages: fitting, sentBytes: fitting * 4112, skippedPages: 0, ms: 30, dirtyPages: fitting };
    const rounds = [1, 2].map((number) => ({ number, ...round }));
    expect(decide(facts({ rounds, remainingPages: fitting }))).toMatchObject({ kind: 'finish', rule: 'V3-threshold' });
    expect(decide(facts({ rounds, remainingPages: fitting + 2 })).kind).not.toBe('finish');
  });

  test('goes on while a further round takes away half of the downtime or more', () => {
    const round = { number: 1, sentPages: 65_536, sentBytes: 65_536 * 4112, skippedPages: 0, ms: 2_185 };
    const decideWith = (dirtyPages: number) =>
      decide(facts({ rounds: [{ ...round, dirtyPages }], remainingPages: dirtyPages }));
    expect(decideWith(600)).toMatchObject({ kind: 'nextRound', rule: 'V3-cheaper', throttlePercent: 0 });
    expect(decideWith(60)).toMatchObject({ kind: 'finish', rule: 'V3-threshold' });
    const left = { ...round, ms: 25, dirtyPages: 600 };
    expect(decide(facts({ rounds: [left], remainingPages: 600 }))).toMatchObject({ kind: 'finish' });
  });

  test('does not go on past the timeout to make the downtime shorter', () => {
    const options = { ...DEFAULT_MIGRATION_OPTIONS, timeoutMs: 2_190 };
    const rounds = [
      { number: 1, sentPages: 65_536, sentBytes: 65_536 * 4112, skippedPages: 0, ms: 2_185, dirtyPages: 600 },
    ];
    expect(decide(facts({ options, rounds, remainingPages: 600 }))).toMatchObject({ kind: 'finish' });
  });

  test('finishes with next to nothing left where the fixed costs alone exceed the limit', () => {
    const options = { ...DEFAULT_MIGRATION_OPTIONS, mode: 'pre-copy', maxDowntimeMs: 5 } as const;
    const decision = decide(facts({ options, remainingPages: 30 }));
    expect(decision).toMatchObject({ kind: 'finish', rule: 'V3-fixed-costs' });
    expect(decision.verdict.text).toMatch(/, above the limit of 5\.0 ms: a switchover alone takes so long here$/);
  });

  test('pages of which next to nothing is sent take the time that they take to be looked at', () => {
    // 40 000 pages, mostly unchanged: 2 MB in a quarter of a second.
    const small = { number: 2, sentPages: 40_000, sentBytes: 2e6, skippedPages: 0, ms: 253, dirtyPages: 40_000 };
    const rounds = [...facts({}).rounds, small];
    expect(decide(facts({ rounds, remainingPages: 40_000 })).kind).not.toBe('finish');
    expect(decide(facts({ rounds, remainingPages: 1_000 })).kind).toBe('finish');
  });

  test('counts with the bandwidth limit where it is below the link', () => {
    const options = { ...DEFAULT_MIGRATION_OPTIONS, bandwidthBytesPerSecond: LINK * 411 };
    const decision = decide(facts({ options, remainingPages: 300 }));
    expect(decision.predictedDowntimeMs).toBeGreaterThan(100);
  });

  test('post-copy that the destination cannot do is an error, not a switch', () => {
    const options = { ...DEFAULT_MIGRATION_OPTIONS, mode: 'post-copy' } as const;
    expect(decide(facts({ options, rounds: [], canPostCopy: false }))).toMatchObject({ kind: 'giveUp' });
  });

  test('says what is unknown as unknown before anything was measured', () => {
    const decision = decide(facts({ rounds: [], remainingPages: 65_536, linkBytesPerSecond: 0, elapsedMs: 0 }));
    expect(decision).toMatchObject({ kind: 'nextRound', rule: 'V3-first', predictedDowntimeMs: null, etaMs: null });
  });

  // Columns: rule, downtime limit, throttle available, and the second round: sent, skipped, ms, left.
  test.each([
    ['S7-stalled', 50, true, 20_000, 0, 667, 14_500],
    ['S7-throttle', 50, true, 600, 4_400, 20, 3_000],
    ['S7-fixed-point', 20, false, 3_000, 0, 100, 2_000],
  ] as const)('auto goes to post-copy by %s', (rule, maxDowntimeMs, canThrottle, sentPages, skippedPages, ms, left) => {
    const first = facts({}).rounds[0]!;
    const second = { number: 2, sentPages, sentBytes: sentPages * 4112, skippedPages, ms, dirtyPages: left };
    const options = { ...DEFAULT_MIGRATION_OPTIONS, maxDowntimeMs };
    const decision = decide(facts({ options, canThrottle, rounds: [first, second], remainingPages: left }));
    expect(decision).toMatchObject({ kind: 'postCopy', rule, throttlePercent: 0 });
  });

  test('auto goes to post-copy by S7-working-set: rounds get shorter, but end at more than the limit has room for', () => {
    const first = facts({}).rounds[0]!;
    const second = {
      number: 2,
      sentPages: 6_000,
      sentBytes: 6_000 * 4112,
      skippedPages: 0,
      ms: 200,
      dirtyPages: 4_100,
    };
    // A few pages that are rewritten all the time, and others that are seldom written.
    const samples = [0.001, 0.01, 0.05, 0.2, 2].map((seconds) => ({
      seconds,
      pages: 4_000 + 500 * seconds,
      weight: 1,
    }));
    const curve = fitDirtyCurve(samples, 65_536);
    const options = { ...DEFAULT_MIGRATION_OPTIONS, maxDowntimeMs: 25 };
    const now = facts({ options, canThrottle: false, rounds: [first, second], remainingPages: 4_100 });
    expect(decide(now).kind).toBe('nextRound');
    expect(decide({ ...now, curve })).toMatchObject({ kind: 'postCopy', rule: 'S7-working-set' });
  });

  test('auto stays with pre-copy while every round leaves clearly less', () => {
    const first = facts({}).rounds[0]!;
    const second = {
      number: 2,
      sentPages: 20_000,
      sentBytes: 20_000 * 4112,
      skippedPages: 0,
      ms: 667,
      dirtyPages: 13_000,
    };
    const decision = decide(facts({ rounds: [first, second], remainingPages: 13_000 }));
    expect(decision).toMatchObject({ kind: 'nextRound', rule: 'S3', throttlePercent: 50 });
  });

  test('S4 slows a VM whose pages leave too slowly', () => {
    const throttle = { ...DEFAULT_MIGRATION_OPTIONS.throttle, minPagesPerSecond: 60_000, minRatio: 1 };
    const options = { ...DEFAULT_MIGRATION_OPTIONS, mode: 'pre-copy', throttle } as const;
    const rounds = [
      { number: 1, sentPages: 65_536, sentBytes: 65_536 * 4112, skippedPages: 0, ms: 2_185, dirtyPages: 9_000 },
    ];
    const decision = decide(facts({ options, rounds, remainingPages: 9_000 }));
    expect(decision).toMatchObject({ kind: 'nextRound', rule: 'S4', throttlePercent: 50 });
  });
});

describe('initialThrottle (S5)', () => {
  test.each([
    ['pre-copy', 10_000, 0],
    ['pre-copy', 40_000, 50],
    ['pre-copy', 400_000, 95],
    ['auto', 30_000, 33],
    ['auto', 400_000, 0],
    ['hybrid', 400_000, 0],
    ['post-copy', 400_000, 0],
  ] as const)('%s with a peak of %i pages/s begins at %i %%', (mode, peak, percent) => {
    expect(initialThrottle(peak, { ...DEFAULT_MIGRATION_OPTIONS, mode })).toBe(percent);
  });

  test('auto without post-copy is slowed as far as the history asks', () => {
    expect(initialThrottle(400_000, DEFAULT_MIGRATION_OPTIONS, false)).toBe(95);
  });
});

describe('progressPercent', () => {
  test('never falls and stays below 100 until released', () => {
    const phases = fc.constantFrom('preparing', 'copying', 'stopping', 'serving', 'failed', 'lost');
    fc.assert(
      fc.property(fc.array(fc.tuple(phases, fc.nat(100))), (steps) => {
        let percent = 0;
        for (const [phase, remainingPages] of steps) {
          const next = progressPercent(percent, { phase: phase as 'copying', remainingPages, totalPages: 100 });
          expect(next).toBeGreaterThanOrEqual(percent);
          expect(next).toBeLessThan(100);
          percent = next;
        }
      }),
    );
  });

  test('is 100 when the source is released', () => {
    expect(progressPercent(40, { phase: 'released', remainingPages: 0, totalPages: 100 })).toBe(100);
  });
});
