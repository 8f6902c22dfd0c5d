/**
 * Every order of events of two VMs at the source and one at the destination that share two pages, over a link that is
 * cut: too many for the unit tests, which explore the parts of it (src/sharing/region.test.ts).
 */
import { expect, test } from 'vitest';
import { openSharingSpace, type SharingScenario, SMALL_GROUP } from '../support/sharing-model.ts';
import { visitSpace } from '../support/state-space.ts';

const CUT = { ...SMALL_GROUP.budget, cuts: 1 };

test.each<[string, number, Partial<SharingScenario>]>([
  ['lent', 1_300_000, { budget: CUT }],
  ['lent, one under way at a time', 500_000, { budget: CUT, windowPages: 1 }],
  ['not lent, because a stop suffices', 180_000, { budget: CUT, canStopInFault: true }],
])('two pages that are %s, and a cut: no rule is broken', (_, fewestStates, changes) => {
  const visit = visitSpace(openSharingSpace({ ...SMALL_GROUP, ...changes }));
  process.stdout.write(`${visit.states} states, ${visit.ends} ends\n`);
  expect(visit.violation).toBeNull();
  expect(visit.states).toBeGreaterThan(fewestStates);
});
