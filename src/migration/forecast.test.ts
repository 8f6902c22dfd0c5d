import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { roundFacts } from '../../test/support/round-facts.ts';
import { type SimulatedVm, simulate } from '../../test/support/simulated-vm.ts';
import { type DirtyCurve, fitDirtyCurve } from './dirty-curve.ts';
import { type Doubts, type ForecastInput, forecast } from './forecast.ts';
import { DEFAULT_MIGRATION_OPTIONS, type MigrationOptions } from './request.ts';

const LINK_PAGES = 30_000;
const PAGE_BYTES = 4112;
const ALL = 65_536;
const CERTAIN: Doubts = { rate: 0, wholeBytes: 0, resentBytes: 0, writing: 0, fixed: 0, ending: 0 };
const DOUBTFUL: Doubts = { rate: 0.2, wholeBytes: 0.2, resentBytes: 0.3, writing: 0.4, fixed: 0.5, ending: 0.9 };

/** The curve of a VM that writes at random, as samples of it would have shown it. */
function curveOf({ workingSetPages, writesPerSecond }: SimulatedVm): DirtyCurve {
  const samples = [0.02, 0.05, 0.1, 0.2, 0.5, 1, 2].map((seconds) => ({
    seconds,
    pages: workingSetPages * -Math.expm1((-writesPerSecond * seconds) / workingSetPages),
    weight: 1,
  }));
  return fitDirtyCurve(samples, ALL);
}

function inputFor(vm: SimulatedVm, options: Partial<MigrationOptions> = {}, doubts: Doubts = CERTAIN): ForecastInput {
  const facts = roundFacts({
    options: { ...DEFAULT_MIGRATION_OPTIONS, ...options },
    remainingPages: vm.totalPages,
  });
  const link = { bytesPerSecond: LINK_PAGES * PAGE_BYTES, wholeBytes: PAGE_BYTES, resentBytes: PAGE_BYTES };
  const pair = { fixedDowntimeMs: 14, endingMs: 0, pushFactor: 1 };
  return { facts, underway: null, curve: curveOf(vm), link, pair, doubts, bytesSoFar: 0 };
}

const vmOf = (workingSetPages: number, writesPerSecond: number): SimulatedVm => ({
  totalPages: ALL,
  workingSetPages,
  writesPerSecond,
  order: 'random',
});

describe('a forecast', () => {
  // Columns: VM, options, how far off the simulated migration's time and downtime may be.
  test.each([
    ['idle', vmOf(1, 0), {}, 0.02, 3],
    ['light', vmOf(8_192, 1_500), {}, 0.05, 10],
    ['busy', vmOf(16_384, 4_000), {}, 0.05, 20],
    ['a rewriter in auto', vmOf(32_768, 380_000), {}, 0.1, 10],
    ['a rewriter in pre-copy', vmOf(32_768, 380_000), { mode: 'pre-copy' }, 0.3, 40],
    ['a rewriter in hybrid', vmOf(32_768, 380_000), { mode: 'hybrid' }, 0.1, 10],
    ['pure post-copy', vmOf(32_768, 380_000), { mode: 'post-copy' }, 0.05, 10],
    ['a rewriter with --finish-by', vmOf(32_768, 380_000), { finishByMs: 12_000 }, 0.1, 10],
  ] as const)('of %s comes out as the simulated migration does', (_, vm, options, timePart, downtimeMs) => {
    const actual = simulate({ vm, linkPagesPerSecond: LINK_PAGES, skipsRewritten: true, options });
    const predicted = forecast(inputFor(vm, options));
    expect(predicted.ending).toBe(actual.end);
    expect(Math.abs(predicted.totalMs.expected / actual.totalMs - 1)).toBeLessThan(timePart);
    expect(Math.abs(predicted.downtimeMs.expected - actual.downtimeMs)).toBeLessThan(downtimeMs);
  });

  test('says that a VM which cannot converge is given up', () => {
    const throttle = { ...DEFAULT_MIGRATION_OPTIONS.throttle, enabled: false };
    expect(forecast(inputFor(vmOf(32_768, 380_000), { mode: 'pre-copy', throttle })).ending).toBe('giveUp');
  });

  test('goes on from the middle of a round', () => {
    const whole = forecast(inputFor(vmOf(1, 0)));
    const sent = { sentPages: ALL / 2, sentBytes: (ALL / 2) * PAGE_BYTES, queuedBytes: 0, ms: 1_092 };
    const underway = { pages: ALL, aheadPages: ALL / 2, ...sent };
    const half = forecast({ ...inputFor(vmOf(1, 0)), underway, bytesSoFar: underway.sentBytes });
    expect(half.totalMs.expected).toBeCloseTo(whole.totalMs.expected, -1);
    expect(half.bytes.expected).toBeCloseTo(whole.bytes.expected, -4);
  });

  test('without doubts is certain, with doubts an interval around what is expected, and the same each time', () => {
    const numbers = fc.record({ working: fc.integer({ min: 1, max: ALL }), writes: fc.nat(400_000) });
    fc.assert(
      fc.property(numbers, fc.constantFrom('auto' as const, 'pre-copy' as const, 'hybrid' as const), (each, mode) => {
        const vm = vmOf(each.working, each.writes);
        const certain = forecast(inputFor(vm, { mode }));
        const doubtful = forecast(inputFor(vm, { mode }, DOUBTFUL));
        expect(forecast(inputFor(vm, { mode }, DOUBTFUL))).toEqual(doubtful);
        for (const what of ['rounds', 'bytes', 'totalMs', 'downtimeMs'] as const) {
          expect(certain[what].low).toBeCloseTo(certain[what].high, 6);
          expect(doubtful[what].low).toBeLessThanOrEqual(doubtful[what].expected);
          expect(doubtful[what].expected).toBeLessThanOrEqual(doubtful[what].high);
          expect(doubtful[what].expected).toBe(certain[what].expected);
        }
      }),
      { numRuns: 40 },
    );
  });
});
