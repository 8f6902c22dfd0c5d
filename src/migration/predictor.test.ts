import { describe, expect, test } from 'vitest';
import { roundFacts } from '../../test/support/round-facts.ts';
import { FakeClock } from '../base/clock.ts';
import type { MeasuredRound, RoundFacts } from './dirty-estimate.ts';
import type { DirtyHistory } from './history.ts';
import { expectOf, type Visit } from './known-links.ts';
import { Predictor } from './predictor.ts';
import { RoundWatch } from './round-watch.ts';

const PAGES = 65_536;
const PAGE_BYTES = 2_000;
/** 1 Gbit/s. */
const RATE = 120e6;
const VISIT: Visit = {
  atMs: 1,
  vm: 'v1',
  bytesPerSecond: RATE,
  wholeBytes: PAGE_BYTES,
  resentBytes: 1_000,
  preparingMs: 200,
  fixedDowntimeMs: 12,
  endingMs: 30,
  pushFactor: 1,
};
const FIRST: MeasuredRound = {
  number: 1,
  sentPages: PAGES,
  sentBytes: PAGES * PAGE_BYTES,
  skippedPages: 0,
  ms: 1_092,
  dirtyPages: 2_000,
};

function predictorOf(visits: readonly Visit[], history: DirtyHistory = { samples: [] }): Predictor {
  const expectation = expectOf(visits, { vm: 'v1', isPacked: true, limit: 0 });
  return new Predictor({ expectation, history, pageCount: PAGES, dataPages: PAGES, wireBytes: () => 0 });
}

function facts(rounds: readonly MeasuredRound[], elapsedMs: number): RoundFacts {
  return roundFacts({
    rounds,
    remainingPages: rounds.at(-1)?.dirtyPages ?? PAGES,
    linkBytesPerSecond: rounds.length > 0 ? RATE : 0,
    elapsedMs,
  });
}

/** A round of a VM that writes nothing, on its way. */
function roundOf(number: number, pages: number) {
  const clock = new FakeClock();
  const bytes = () => (clock.nowMs() * RATE) / 1000;
  const link = () => {
    const counts = { sentBytes: bytes(), acknowledgedBytes: bytes(), pages: bytes() / PAGE_BYTES };
    return { ...counts, zeroPages: 0, leftOutPages: 0 };
  };
  const watch = new RoundWatch({ tracker: { peek: () => [] }, pageCount: PAGES, link }, clock);
  watch.begin(number, pages, 0);
  const go = (ms: number): void => {
    clock.advance(ms);
    watch.advance(Math.round((ms * RATE) / 1000 / PAGE_BYTES), 0);
  };
  return { watch, clock, go };
}

describe('before the first page', () => {
  test('a VM and a link that are known are predicted closely', () => {
    const samples = [{ atMs: 1, pagesPerSecond: 100, ms: 1_000 }];
    const predictor = predictorOf([VISIT, VISIT], { samples });
    predictor.start(facts([], 0));
    const { totalMs } = predictor.latest!;
    expect(totalMs.expected).toBeGreaterThan(1_300);
    expect(totalMs.expected).toBeLessThan(1_450);
    expect(totalMs.high / totalMs.low).toBeLessThan(3);
  });

  test('an unknown link makes the interval wide', () => {
    const predictor = predictorOf([]);
    predictor.start(facts([], 0));
    const { totalMs } = predictor.latest!;
    expect(totalMs.high / totalMs.low).toBeGreaterThan(5);
  });
});

describe('while it goes on', () => {
  test('predictions are made when the link was measured and after rounds, and each moment is recorded once', () => {
    const predictor = predictorOf([]);
    predictor.start(facts([], 0));
    const pass = roundOf(1, PAGES);
    for (let step = 0; step < 9; step++) {
      pass.go(100);
      predictor.consider(facts([], 200), pass.watch, pass.clock.nowMs());
    }
    const second = roundOf(2, FIRST.dirtyPages);
    second.go(1);
    predictor.consider(facts([FIRST], 1_300), second.watch, 2_000);
    predictor.consider(facts([FIRST], 1_300), second.watch, 3_000);
    expect(predictor.made.map(({ moment }) => moment)).toEqual(['start', 'firstPass', 'round1']);
    expect(predictor.made[1]!.atMs).toBe(700);
    expect(predictor.made[1]!.totalMs.expected).toBeCloseTo(1_340, -2);
  });

  test('what was measured counts more than what was known', () => {
    const slow = predictorOf([{ ...VISIT, bytesPerSecond: RATE / 10 }]);
    const pass = roundOf(1, PAGES);
    for (let step = 0; step < 9; step++) pass.go(100);
    slow.consider(facts([], 200), pass.watch, 900);
    expect(slow.latest!.totalMs.expected).toBeLessThan(2_500);
  });
});
