import { expect, test } from 'vitest';
import { roundFacts } from '../../test/support/round-facts.ts';
import { sampleReport } from '../../test/support/scripted-engine.ts';
import { NOTHING_PACKED } from '../transfer/packing.ts';
import type { MeasuredRound, RoundFacts } from './dirty-estimate.ts';
import type { MigrationReport } from './report.ts';
import { SourceVisit } from './source-visit.ts';

const FIRST: MeasuredRound = {
  number: 1,
  sentPages: 9_000,
  sentBytes: 18e6,
  skippedPages: 1_000,
  ms: 300,
  dirtyPages: 2_000,
};
const SECOND: MeasuredRound = { number: 2, sentPages: 2_000, sentBytes: 1e6, skippedPages: 0, ms: 50, dirtyPages: 10 };

function facts(rounds: readonly MeasuredRound[], elapsedMs: number): RoundFacts {
  return roundFacts({
    rounds,
    // A thousand of them are zero.
    remainingPages: rounds.at(-1)?.dirtyPages ?? 11_000,
    elapsedMs,
  });
}

function visitOf(rounds: readonly MeasuredRound[], report: Partial<MigrationReport> = {}) {
  const visit = new SourceVisit('v1');
  rounds.forEach((_, index) => {
    visit.observe(facts(rounds.slice(0, index), 100 + index));
  });
  visit.observe(facts(rounds, 500));
  return visit.make(sampleReport({ totalMs: 600, ...report }), 77);
}

test('a visit has what the migration measured', () => {
  expect(visitOf([FIRST, SECOND])).toEqual({
    atMs: 77,
    vm: 'v1',
    bytesPerSecond: 60e6,
    wholeBytes: 1_800,
    resentBytes: 500,
    preparingMs: 100,
    fixedDowntimeMs: expect.closeTo(10.2, 6),
    endingMs: expect.closeTo(87.7, 6),
    pushFactor: 0,
  });
});

test("what the first pass waited for pages that other VMs were to bring is not the link's", () => {
  expect(visitOf([{ ...FIRST, ms: 500, waitedMs: 200 }, SECOND])).toMatchObject({ bytesPerSecond: 60e6 });
});

test('post-copy shows how fast pages are pushed', () => {
  const postCopy = {
    missingPages: 4_000,
    faults: 1,
    faultMicrosecondsP50: 1,
    faultMicrosecondsP99: 1,
    pushedPages: 1,
    residentMs: 60,
    reconnects: 0,
  };
  const { pushFactor, endingMs } = visitOf([FIRST], { postCopy })!;
  // 15 µs a page, where the first pass took 30.
  expect(pushFactor).toBeCloseTo(0.5, 6);
  expect(endingMs).toBeCloseTo(27.7, 6);
});

test.each([
  ['did not complete', [FIRST], { outcome: 'failed' }],
  ['had no rounds', [], {}],
  ['was verified', [FIRST], { verify: { scheme: 'xxh3-128', pages: 1, equal: true } }],
  ['moved a VM that was paused', [FIRST], { downtimeMs: null }],
  ['was only named for the most part', [FIRST], { packing: { ...NOTHING_PACKED, duplicatePages: 5000 } }],
  ['was cut short in its first pass', [{ ...FIRST, sentPages: 500, skippedPages: 0, dirtyPages: 100 }], {}],
] as const)('nothing comes of a migration that %s', (_, rounds, report) => {
  expect(visitOf(rounds, report)).toBeNull();
});
