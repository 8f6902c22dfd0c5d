import { describe, expect, test } from 'vitest';
import { explainPlan } from './explain.ts';
import type { FleetPlan, PlannedMove, Refusal, Wait } from './plan.ts';

const NOW = 1e12;
const QUANTILES = { p10: 4_000, p50: 5_000, p90: 8_000 };
const SIZE = { p10: 2 ** 29, p50: 2 ** 30, p90: 2 ** 31 };
const MOVE: PlannedMove = {
  vm: 'db1',
  from: 'a',
  to: 'b',
  group: 0,
  detourTo: null,
  startsAtMs: NOW,
  endsAtMs: NOW + 5_000,
  limitBytesPerSecond: 1e8,
  bytesPerSecond: 100 * 2 ** 20,
  prediction: {
    bytes: SIZE,
    totalMs: QUANTILES,
    downtimeMs: QUANTILES,
    ending: 'finish',
    pages: { newPages: 1, heldPages: 0 },
    boundMs: 9_000,
    dirtyFactor: 1,
    newPageBytes: 1,
    newPageMs: 1,
  },
  finishByMs: null,
  wait: null,
};
const EMPTY: FleetPlan = {
  late: [],
  madeAtMs: NOW,
  moves: [],
  groups: [],
  refused: [],
  makespanMs: 0,
  lowerBoundMs: 0,
  quietBoundMs: 0,
  askAgainAtMs: null,
};
const TAKES = '(1.0 GiB, 5.0 s (4.0 s to 8.0 s) at 100 MiB/s)';

const explain = (move: Partial<PlannedMove>): string => explainPlan({ ...EMPTY, moves: [{ ...MOVE, ...move }] })[1]!;

describe('a move', () => {
  test.each<[string, Partial<PlannedMove>, string]>([
    ['now', {}, `db1 goes to b now ${TAKES}`],
    [
      'with a promise, ending in post-copy',
      { finishByMs: 60_000, prediction: { ...MOVE.prediction, ending: 'postCopy' } },
      'db1 goes to b now (1.0 GiB, 5.0 s (4.0 s to 8.0 s) at 100 MiB/s, ending in post-copy, over within 60.0 s whatever it writes)',
    ],
    [
      'on a detour',
      { to: 'spare', detourTo: 'b' },
      `db1 goes to spare for the time being, so that a has room, and then to b now ${TAKES}`,
    ],
  ])('%s', (_, move, words) => {
    expect(explain(move)).toBe(words);
  });

  test.each<[Wait, number, string]>([
    [
      { kind: 'quiet', untilMs: NOW + 40_000, factorNow: 1.6, factorThen: 0.4 },
      40_000,
      'db1 waits 40.0 s for its quiet phase (75 % fewer writes than now)',
    ],
    [
      { kind: 'quiet', untilMs: NOW + 40_000, factorNow: 1.6, factorThen: 0.4 },
      50_000,
      'db1 waits 40.0 s for its quiet phase (75 % fewer writes than now), and until its way is free, 50.0 s in all',
    ],
    [
      { kind: 'bandwidth', bottleneck: { kind: 'sending', host: 'a' }, behind: ['web1', 'web2'] },
      1000,
      'db1 waits 1.0 s for the network of a, behind web1 and web2',
    ],
    [
      { kind: 'bandwidth', bottleneck: { kind: 'link', link: 'core' }, behind: [] },
      1000,
      'db1 waits 1.0 s for the link core',
    ],
    [
      { kind: 'memory', host: 'b', neededBytes: 2 ** 30, freeBytes: -1 },
      1000,
      'db1 waits 1.0 s for memory on b (1.0 GiB needed, 0 B free)',
    ],
    [
      { kind: 'contents', vm: 'web1' },
      1000,
      'db1 waits 1.0 s for web1, which is bringing much of what it has in common with it',
    ],
    [
      { kind: 'keepsFree', vm: 'cron1', untilMs: NOW + 1000 },
      1000,
      'db1 waits 1.0 s so that the way is free for the quiet phase of cron1',
    ],
    [{ kind: 'retry', untilMs: NOW + 1000, reason: 'link cut' }, 1000, 'db1 waits 1.0 s after it failed (link cut)'],
    [{ kind: 'turn' }, 1000, 'db1 waits 1.0 s for its turn'],
  ])('that waits: %o', (wait, inMs, words) => {
    expect(explain({ wait, startsAtMs: NOW + inMs })).toBe(`${words}, then goes to b ${TAKES}`);
  });
});

test.each<[Refusal, string]>([
  [
    { kind: 'cannotConverge' },
    'is not started: it writes faster than it can be copied; allow post-copy or a longer downtime',
  ],
  [
    { kind: 'noRoom', neededBytes: 2 ** 31, freeBytes: 2 ** 30 },
    'is not started: no host has room (2.0 GiB needed, at most 1.0 GiB free); add a host or move something else',
  ],
  [
    { kind: 'tooLate', deadlineAtMs: NOW, p90Ms: 8000 },
    'is not started: nine of ten times it takes up to 8.0 s, which is too late; allow post-copy or more time',
  ],
  [{ kind: 'parked', reason: 'by hand' }, 'is parked (by hand)'],
  [{ kind: 'failed', attempts: 3, reason: 'link cut' }, 'failed 3 times and is left alone (link cut)'],
  [
    { kind: 'stuck', wait: { kind: 'memory', host: 'b', neededBytes: 2 ** 30, freeBytes: 0 } },
    'cannot start: b never has 1.0 GiB free, and no other host has room meanwhile',
  ],
  [
    { kind: 'stuck', wait: { kind: 'bandwidth', bottleneck: { kind: 'receiving', host: 'b' }, behind: [] } },
    'cannot start: the network of b has no bandwidth',
  ],
  [{ kind: 'stuck', wait: { kind: 'turn' } }, 'cannot start: it waits for what does not come'],
  [{ kind: 'stuck', wait: null }, 'cannot start: nothing leads there'],
])('a refusal: %o', (why, words) => {
  expect(explainPlan({ ...EMPTY, refused: [{ vm: 'db1', why }] })[1]).toBe(`db1 ${words}`);
});

test('a plan begins with the whole, then its groups of several VMs', () => {
  const prediction = { bytes: SIZE, totalMs: QUANTILES, downtimeMs: QUANTILES };
  const vms = ['web1', 'web2', 'web3', 'web4', 'web5', 'web6'];
  const groups = [
    { from: 'a', to: 'b', vms, prediction, heldPages: 70, pages: 100 },
    { from: 'a', to: 'b', vms: ['db1'], prediction, heldPages: 0, pages: 100 },
  ];
  expect(
    explainPlan({
      ...EMPTY,
      moves: [MOVE, MOVE],
      groups,
      makespanMs: 10_000,
      lowerBoundMs: 8_000,
      quietBoundMs: 8_000,
    }).slice(0, 2),
  ).toEqual([
    '2 migrations, over in 10.0 s, 1.25 times the least possible',
    'web1, web2, web3, web4 and 2 more go from a to b one after another: 1.0 GiB in 5.0 s (4.0 s to 8.0 s); 70 % of their pages will be there already',
  ]);
  expect(explainPlan(EMPTY)).toEqual(['Nothing is to be started']);
});
