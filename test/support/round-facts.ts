/** What decisions of a migration are made of, where nothing has happened yet and nothing stands in the way. */
import { PRIOR_COSTS, type RoundFacts } from '../../src/migration/dirty-estimate.ts';
import { DEFAULT_MIGRATION_OPTIONS } from '../../src/migration/request.ts';

export function roundFacts(more: Partial<RoundFacts> = {}): RoundFacts {
  return {
    options: DEFAULT_MIGRATION_OPTIONS,
    rounds: [],
    remainingPages: 0,
    dataPages: 10_000,
    linkBytesPerSecond: 0,
    costs: PRIOR_COSTS,
    throttlePercent: 0,
    canThrottle: true,
    canPostCopy: true,
    elapsedMs: 0,
    begunMs: 0,
    curve: null,
    ...more,
  };
}
