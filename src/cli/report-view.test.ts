import { expect, test } from 'vitest';
import { sampleReport } from '../../test/support/scripted-engine.ts';
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
    #  pages     sent   time       rate      dirty  ratio  throttle  rule
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
  expect(renderCheck('web1', 'b', { ok: true, blockers: [], notes: [], facts: {} })).toBe(
    'VM web1 can be migrated to b.',
  );
});
