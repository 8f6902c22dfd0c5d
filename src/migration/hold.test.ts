import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { roundFacts } from '../../test/support/round-facts.ts';
import { checkDeadline, decide } from './convergence.ts';
import type { MeasuredRound, RoundFacts } from './dirty-estimate.ts';
import { type HeldReadiness, type HoldState, readinessOf, underHold } from './hold.ts';
import { MIGRATION_MODES, TIMEOUT_ACTIONS } from './request.ts';

/** 1 Gbit/s: 12 pages a millisecond… */
const LINK = 30_000 * 4112;
const FIRST: MeasuredRound = {
  number: 1,
  sentPages: 65_536,
  sentBytes: 65_536 * 4112,
  skippedPages: 0,
  ms: 2_185,
  dirtyPages: 0,
};

function facts(more: Partial<RoundFacts> = {}): RoundFacts {
  return roundFacts({ rounds: [FIRST], dataPages: 65_536, linkBytesPerSecond: LINK, elapsedMs: 3_000, ...more });
}

/** Left nearly all of what it sent: never ready by pre-copy. */
const STALLED = facts({ rounds: [{ ...FIRST, dirtyPages: 60_000 }], remainingPages: 60_000 });
/** Each round leaves less. */
const CONVERGING = facts({ rounds: [{ ...FIRST, dirtyPages: 10_000 }], remainingPages: 10_000 });
const DONE = facts();
const withOptions = (of: RoundFacts, options: Partial<RoundFacts['options']>): RoundFacts => ({
  ...of,
  options: { ...of.options, ...options },
});

const NEW: HoldState = { atMostMs: 10_000, readiness: null, isReleased: false, hasRested: false };
const TO_FINISH: HeldReadiness = { sinceMs: 2_900, kind: 'finish', rule: 'V3-threshold' };
const TO_POST_COPY: HeldReadiness = { sinceMs: 2_900, kind: 'postCopy', rule: 'S7-throttle' };
const HELD: HoldState = { ...NEW, readiness: TO_FINISH };
const HELD_LONG: HoldState = { ...NEW, readiness: { ...TO_FINISH, sinceMs: -7_000 } };

describe('a migration that is to wait', () => {
  test.each<[string, RoundFacts, HoldState, string, string]>([
    ['is held when it could finish', DONE, NEW, 'nextRound', 'hold'],
    ['is held when it could go to post-copy', STALLED, NEW, 'nextRound', 'hold'],
    ['goes on with its rounds before', CONVERGING, NEW, 'nextRound', 'V3-next'],
    ['is not held when it was told before it was ready', DONE, { ...NEW, isReleased: true }, 'finish', 'V3-threshold'],
    ['gives up as ever', withOptions(STALLED, { timeoutMs: 2_000, onTimeout: 'cancel' }), NEW, 'giveUp', 'deadline'],
    ['stays held, whatever the VM writes then', STALLED, HELD, 'nextRound', 'hold'],
    ['finishes when it is told to', DONE, { ...HELD, isReleased: true }, 'finish', 'V3-threshold'],
    ['finishes when it was held for long enough', DONE, HELD_LONG, 'finish', 'V3-threshold'],
    [
      'sends first what was written meanwhile',
      CONVERGING,
      { ...HELD, isReleased: true, hasRested: true },
      'nextRound',
      'hold',
    ],
    ['is judged by that round', STALLED, { ...HELD, isReleased: true }, 'postCopy', 'S7-stalled'],
    [
      'goes to post-copy at once for which it was ready',
      CONVERGING,
      { ...NEW, readiness: TO_POST_COPY, isReleased: true, hasRested: true },
      'postCopy',
      'S7-throttle',
    ],
    ['ends with --timeout', withOptions(STALLED, { timeoutMs: 3_500 }), HELD, 'postCopy', 'deadline'],
    [
      'ends with --timeout where it could finish',
      withOptions(DONE, { timeoutMs: 3_000, onTimeout: 'cancel' }),
      HELD,
      'finish',
      'V3-threshold',
    ],
    ['ends with --finish-by', withOptions(STALLED, { finishByMs: 8_000 }), HELD, 'postCopy', 'G7-finish-by'],
    [
      'ends with --finish-by where it could finish',
      withOptions(DONE, { finishByMs: 3_500 }),
      HELD,
      'finish',
      'V3-threshold',
    ],
    [
      'is held while there is time until --finish-by',
      withOptions(DONE, { finishByMs: 60_000 }),
      HELD,
      'nextRound',
      'hold',
    ],
  ])('%s', (_, of, state, kind, rule) => {
    expect(underHold(decide(of), of, state)).toMatchObject({ kind, rule });
  });

  test('is not slowed, and says that it is ready', () => {
    const held = underHold(decide(STALLED), { ...STALLED, throttlePercent: 80 }, HELD);
    expect(held).toMatchObject({ throttlePercent: 0, verdict: { kind: 'ready' }, etaMs: null });
  });
});

const anyFacts = fc
  .record({
    mode: fc.constantFrom(...MIGRATION_MODES.filter((mode) => mode !== 'post-copy')),
    onTimeout: fc.constantFrom(...TIMEOUT_ACTIONS),
    timeoutMs: fc.constantFrom(0, 0, 2_000, 5_000, 60_000),
    finishByMs: fc.constantFrom(0, 0, 3_000, 8_000, 60_000),
    rounds: fc.array(
      fc.record({ sentPages: fc.nat(65_536), dirtyPages: fc.nat(65_536), ms: fc.integer({ min: 1, max: 3_000 }) }),
      { maxLength: 40 },
    ),
    canPostCopy: fc.boolean(),
    elapsedMs: fc.nat(70_000),
    throttlePercent: fc.constantFrom(0, 50, 99),
  })
  .map(({ rounds, canPostCopy, elapsedMs, throttlePercent, ...options }) => {
    const measured = rounds.map((round, i) => ({
      ...round,
      number: i + 1,
      sentBytes: round.sentPages * 4112,
      skippedPages: 0,
    }));
    const remainingPages = measured.at(-1)?.dirtyPages ?? 65_536;
    return withOptions(facts({ rounds: measured, remainingPages, canPostCopy, elapsedMs, throttlePercent }), options);
  });
const anyReadiness = fc.constantFrom(null, TO_FINISH, TO_POST_COPY);

describe('whatever was measured', () => {
  test('a hold has another round made, or changes nothing', () => {
    fc.assert(
      fc.property(anyFacts, anyReadiness, fc.boolean(), (of, readiness, hasRested) => {
        const state = { ...NEW, atMostMs: 100_000, readiness, hasRested };
        const decision = decide(of);
        const held = underHold(decision, of, state);
        const isDue = checkDeadline(of) !== null;
        const isHeld = !isDue && (readiness !== null || readinessOf(decision, of) !== null);
        expect(held).toEqual(
          isHeld ? expect.objectContaining({ kind: 'nextRound', rule: 'hold', throttlePercent: 0 }) : decision,
        );
      }),
    );
  });

  test('without one, once it is told, and once its time is over, it ends as it would have', () => {
    fc.assert(
      fc.property(anyFacts, fc.boolean(), (of, isReleased) => {
        const decision = decide(of);
        const overdue = { ...TO_FINISH, sinceMs: of.elapsedMs - NEW.atMostMs };
        expect(underHold(decision, of, { ...NEW, isReleased, readiness: overdue })).toEqual(decision);
        expect(underHold(decision, of, { ...NEW, isReleased: true })).toEqual(decision);
      }),
    );
  });
});
