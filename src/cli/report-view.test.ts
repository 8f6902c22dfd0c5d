import { expect, test } from 'vitest';
import { sampleReport } from '../../test/support/scripted-engine.ts';
import { scorePredictions } from '../migration/prediction.ts';
import { renderCheck, renderMigrationList, renderReport } from './report-view.ts';

test('a report says where the VM is, how long it stood still and why', () => {
  expect(renderReport(sampleReport())).toBe(`migration m1: web1 from a to b, mode auto: completed
  the VM      is at b
  total       3.2 s
  downtime    12.3 ms (± 100 µs)
    stop           0.40 ms
    last round     2.10 ms
    save state     3.50 ms
    transfer       0.60 ms
    load state     4.20 ms
    commit         1.10 ms
    resume         0.40 ms
  sent        120 MiB on the wire for 512 MiB of memory
  pages       131072 in all: 41000 sent, of these 1000 more than once, 1072 zero, 90000 never touched
  rounds
    #  pages     sent   time   memory/s      dirty  ratio  throttle  rule
    1  40000  117 MiB  1.5 s  104 MiB/s  2.7 MiB/s   38.1       0 %  next`);
});

test('tracking by groups has a line of its own, and says why where nobody asked for it', () => {
  const groups = { setting: 'auto', smallestPages: 1, largestPages: 512, faults: 1234, pacedFaults: 56 };
  const text = renderReport(sampleReport({ tracker: { kind: 'groups', reason: 'Because', groups } }));
  expect(text).toContain(
    '  tracker     groups:auto, of 1 to 512 pages: 1234 write faults, 56 made to wait\n              Because\n',
  );
});

test('post-copy, throttle and verification have lines of their own', () => {
  const text = renderReport(
    sampleReport({
      rounds: [],
      throttle: { mechanism: 'cgroup-v2', maxPercent: 60, activeMs: 1500 },
      postCopy: {
        missingPages: 900,
        faults: 40,
        faultMicrosecondsP50: 83.4,
        faultMicrosecondsP99: 512.9,
        pushedPages: 860,
        residentMs: 420,
        reconnects: 1,
      },
      verify: { scheme: 'xxh3-128', pages: 131_072, equal: false },
    }),
  );
  expect(text.split('\n').slice(-4)).toEqual([
    '  throttle    up to 60 % for 1.5 s (cgroup-v2)',
    '  post-copy   900 pages missing at the switchover, all there after 420 ms',
    '              40 faults (p50 83 µs, p99 513 µs), 860 pages pushed, 1 reconnects',
    '  verify      DIFFERENT: 131072 pages (xxh3-128)',
  ]);
});

test('what --verify adds to the downtime is told apart, and has a part of its own', () => {
  const plain = sampleReport();
  const text = renderReport({ ...plain, downtimeParts: { ...plain.downtimeParts!, verify: 210 } });
  expect(text).toContain('  downtime    12.3 ms (± 100 µs), of that 210 ms for --verify\n');
  expect(text).toContain('\n    verify       210.00 ms\n');
});

test.each([
  ['V3-fixed-costs', 'a switchover alone takes so long here, a lower limit changes nothing'],
  ['deadline', 'the time was up, and --on-timeout pause asked for it'],
  ['V3-threshold', 'it took longer than was predicted when the VM was stopped'],
])('a downtime above the limit is explained: %s', (rule, why) => {
  const rounds = [{ ...sampleReport().rounds[0]!, rule }];
  const text = renderReport(sampleReport({ rounds, downtimeMs: 62, downtimeLimitMs: 50 }));
  expect(text).toContain(`  downtime    62.0 ms (± 100 µs)\n              above the limit of 50.0 ms: ${why}\n`);
});

test('a downtime of post-copy above the limit is that of the switchover', () => {
  const text = renderReport(sampleReport({ rounds: [], downtimeMs: 62, downtimeLimitMs: 50 }));
  expect(text).toContain('above the limit of 50.0 ms: a switchover alone takes so long here');
});

test.each([
  ['within the limit', 49.9, 50, 0],
  ['that is above it because of --verify only', 62, 50, 13],
  ['whose limit nobody knows', 62, null, 0],
])('a downtime %s needs no explanation', (_which, downtimeMs, downtimeLimitMs, verify) => {
  const plain = sampleReport({ downtimeMs, downtimeLimitMs });
  expect(renderReport({ ...plain, downtimeParts: { ...plain.downtimeParts!, verify } })).not.toContain('limit');
});

test('predictions say what was expected when, and how far off that was', () => {
  const interval = (expected: number) => ({ low: expected * 0.8, expected, high: expected * 1.5 });
  const values = { rounds: interval(2), bytes: interval(1e8), totalMs: interval(3_000), downtimeMs: interval(20) };
  const made = { ...values, moment: 'start', atMs: 4, ending: 'finish' } as const;
  const actual = { rounds: 1, bytes: 1e8, totalMs: 3_210, downtimeMs: 12.3 };
  const text = renderReport(
    sampleReport({ prediction: scorePredictions([made, { ...made, moment: 'round1', atMs: 900 }], actual) }),
  );
  expect(text.split('\n').slice(-2)).toEqual([
    '  predicted   at the start: 2.4 s to 4.5 s in all (-7 %), downtime 16.0 ms to 30.0 ms',
    '              after round 1: 2.4 s to 4.5 s in all (-7 %), downtime 16.0 ms to 30.0 ms',
  ]);
});

test('a check that finds nothing in the way says what the migration would take', () => {
  const interval = { low: 1_000, expected: 2_000, high: 3_000 };
  const prediction = { rounds: interval, bytes: interval, totalMs: interval, downtimeMs: interval, ending: 'finish' };
  const check = { ok: true, outcome: 'ok', blockers: [], notes: [], facts: { prediction } } as const;
  expect(renderCheck('web1', 'b', check)).toBe(
    'VM web1 can be migrated to b.\n  it would take about 2.0 s (1.0 s to 3.0 s) and 2.0 KiB, downtime 1.0 s to 3.0 s',
  );
});

test('a report of a failure says why and that the VM has not moved', () => {
  const error = {
    code: 'GW_WIRE_CLOSED',
    message: 'The migration connection to b was cut: ECONNRESET',
    details: {},
  } as const;
  const report = sampleReport({
    outcome: 'failed',
    error,
    owner: 'a',
    downtimeMs: null,
    downtimeParts: null,
    rounds: [],
  });
  expect(renderReport(report)).toBe(`migration m1: web1 from a to b, mode auto: failed
  error       The migration connection to b was cut: ECONNRESET [GW_WIRE_CLOSED]
  the VM      is at a
  total       3.2 s
  sent        120 MiB on the wire for 512 MiB of memory
  pages       131072 in all: 41000 sent, of these 1000 more than once, 1072 zero, 90000 never touched`);
});

test('a list has one line for each migration', () => {
  const ended = {
    id: 'm1',
    vm: 'web1',
    direction: 'outgoing',
    peer: 'b',
    state: 'completed',
    phase: null,
    options: null,
    progress: null,
    notes: [],
    startedAtMs: 0,
    report: sampleReport(),
  } as const;
  expect(renderMigrationList([{ ...ended, notes: [] }])).toBe(
    [
      'ID  VM    DIRECTION  PEER  MODE  STATE      TOTAL  DOWNTIME     SENT',
      'm1  web1  outgoing   b     auto  completed  3.2 s   12.3 ms  120 MiB',
    ].join('\n'),
  );
  expect(renderMigrationList([])).toBe('No migrations yet.');
});

test('a check that finds nothing is one line', () => {
  expect(renderCheck('web1', 'b', { ok: true, outcome: 'ok', blockers: [], notes: [], facts: {} })).toBe(
    'VM web1 can be migrated to b.',
  );
});
