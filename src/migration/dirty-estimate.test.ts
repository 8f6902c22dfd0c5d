import { expect, test } from 'vitest';
import { roundFacts } from '../../test/support/round-facts.ts';
import { bytesPerPage, enoughPages, type MeasuredRound, type RoundFacts, wholeBytesPerPage } from './dirty-estimate.ts';
import { DEFAULT_MIGRATION_OPTIONS } from './request.ts';

const PAGE_BYTES = 4112;
const NAME_BYTES = 17;
/** 200 Mbit/s. */
const LINK_BYTES = 25e6;

/** So many pages with their contents, and others that were only named. */
function round(contents: number, named: number, more: Partial<MeasuredRound> = {}): MeasuredRound {
  const sentBytes = contents * PAGE_BYTES + named * NAME_BYTES;
  const sentPages = contents + named;
  return { number: 1, sentPages, sentBytes, namedPages: named, skippedPages: 0, ms: 1000, dirtyPages: 0, ...more };
}

function facts(...rounds: MeasuredRound[]): RoundFacts {
  return roundFacts({
    rounds,
    remainingPages: 1000,
    linkBytesPerSecond: LINK_BYTES,
  });
}

test('pages that were only named do not make the last ones look small', () => {
  expect(bytesPerPage(facts(round(1000, 9000)))).toBeCloseTo(PAGE_BYTES + 9 * NAME_BYTES, 0);
  // At most as many as the link takes within the downtime, with their contents.
  const most = (DEFAULT_MIGRATION_OPTIONS.maxDowntimeMs * LINK_BYTES) / 1000 / PAGE_BYTES;
  expect(enoughPages(facts(round(1000, 9000)))).toBeLessThan(most);
});

test('a round that has hardly sent contents is no sample', () => {
  const before = round(1000, 0, { sentBytes: 1_000_000 });
  expect(bytesPerPage(facts(before, round(10, 5000)))).toBe(1000);
  expect(bytesPerPage(facts(round(10, 5000)))).toBe(PAGE_BYTES);
});

test('what post-copy pushes is as large as contents were in any round, without what was left out', () => {
  const half = round(1000, 0, { sentBytes: 2_000_000 });
  const unchanged = round(1000, 9000, { sentPages: 20_000, unchangedPages: 10_000 });
  expect(wholeBytesPerPage(facts(half))).toBe(2000);
  expect(wholeBytesPerPage(facts(half, unchanged))).toBe(PAGE_BYTES);
});
