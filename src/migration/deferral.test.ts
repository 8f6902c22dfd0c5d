import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { roundFacts } from '../../test/support/round-facts.ts';
import { countPages, intersectRuns, type PageRun } from '../base/page.ts';
import { PageHeat } from '../memory/page-heat.ts';
import { chooseDeferred, type DeferralFacts } from './deferral.ts';
import { enoughPages, type MeasuredRound, sendingMs } from './dirty-estimate.ts';
import { DEFAULT_MIGRATION_OPTIONS } from './request.ts';

const PAGES = 65_536;
/** 1 Gbit/s */
const LINK = 30_000 * 4112;
const HOT: PageRun = { first: 1000, count: 300 };
const REMAINING: PageRun = { first: 500, count: 6000 };

function round(ms: number): MeasuredRound {
  return { number: 1, sentPages: 6000, sentBytes: 6000 * 4112, skippedPages: 0, ms, dirtyPages: 6000 };
}

function facts(more: Partial<DeferralFacts> = {}): DeferralFacts {
  const rounds = [round(2000), round(200), round(200)];
  const facts = roundFacts({ rounds, remainingPages: REMAINING.count, linkBytesPerSecond: LINK, elapsedMs: 3000 });
  return { ...facts, remaining: [REMAINING], ...more };
}

function heated(looks: number, hot: PageRun = HOT): PageHeat {
  const heat = new PageHeat(PAGES);
  for (let look = 0; look < looks; look++) heat.look([hot]);
  return heat;
}

describe('deferred are', () => {
  test.each([
    ['the pages that every round had to send again', facts(), heated(3), [HOT]],
    ['none that were written in fewer rounds', facts(), heated(2), []],
    ['none before there were so many rounds', facts({ rounds: [round(2000), round(200)] }), heated(3), []],
    [
      'none while rounds get shorter, because it converges',
      facts({ rounds: Array(3).fill(round(400)) }),
      heated(3),
      [],
    ],
    ['none while nothing is known of the link', facts({ linkBytesPerSecond: 0, rounds: [] }), heated(3), []],
    ['none that do not remain', facts({ remaining: [{ first: 5000, count: 10 }] }), heated(3), []],
  ] as const)('%s', (_, given, heat, expected) => {
    expect(chooseDeferred(given, heat)).toEqual(expected);
  });

  test('never more than half of what may be left for the stop, whatever is hot', () => {
    const pages = fc.integer({ min: 0, max: 20_000 });
    fc.assert(
      fc.property(pages, pages, fc.integer({ min: 1, max: 500 }), (first, count, maxDowntimeMs) => {
        const given = facts({ options: { ...DEFAULT_MIGRATION_OPTIONS, maxDowntimeMs } });
        const deferred = chooseDeferred(given, heated(5, { first, count }));
        expect(countPages(deferred)).toBeLessThanOrEqual(enoughPages(given) / 2);
        expect(intersectRuns(deferred, [REMAINING])).toEqual(deferred);
        // Alone they never keep a VM from being stopped that can be.
        const roomMs = Math.max(2, maxDowntimeMs - 15);
        expect(sendingMs(given, countPages(deferred))).toBeLessThanOrEqual(roomMs);
      }),
      { numRuns: 50 },
    );
  });
});
