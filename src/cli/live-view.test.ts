import { expect, test } from 'vitest';
import { startCli } from '../../test/support/in-process-cli.ts';
import { sampleProgress, sampleReport } from '../../test/support/scripted-engine.ts';
import type { MigrationView } from '../api/migration-schema.ts';
import type { Io } from './io.ts';
import { openDisplay, renderLine, renderLive, renderStartLine } from './live-view.ts';

const migration: MigrationView = {
  id: 'm1',
  vm: 'web1',
  direction: 'outgoing',
  peer: 'b',
  state: 'running',
  phase: 'copying',
  options: null,
  progress: null,
  notes: [],
  startedAtMs: 0,
  report: null,
};

function recordingIo(terminal: boolean): Io & { readonly text: () => string } {
  let text = '';
  return {
    environment: {},
    out: () => undefined,
    err: (more) => {
      text += more;
    },
    outIsTerminal: false,
    errIsTerminal: terminal,
    columns: () => 200,
    onInterrupt: () => () => undefined,
    text: () => text,
  };
}

test('the live view says phase, progress, rates and which way it goes', () => {
  const progress = sampleProgress({ throttlePercent: 20, waitingFor: 'connection' });
  expect(renderLive(migration, progress, 200)).toEqual([
    'web1 → b  ███████████████████░░░░░░░░░░░  62 %  copying, round 2  about 3.2 s left',
    '  sent 1.2 GiB · 300 MiB to go · 118 MiB/s · dirty 12.0 MiB/s · vCPUs slowed by 20 % · downtime now 31.0 ms · waiting for connection',
    '  converging: each round leaves a tenth',
  ]);
});

test('a prediction is shown as the range that it is', () => {
  const interval = { low: 3_000, expected: 3_500, high: 5_000 };
  const prediction = {
    rounds: interval,
    bytes: interval,
    totalMs: interval,
    downtimeMs: interval,
    ending: 'finish',
  } as const;
  expect(renderLive(migration, sampleProgress({ prediction }), 200)[1]).toMatch(/ · in all 3.0 s to 5.0 s$/);
});

test('no line of it is wider than the terminal', () => {
  expect(renderLive(migration, sampleProgress(), 40).map((line) => line.length < 40)).toEqual([true, true, true]);
});

test.each([
  [
    {},
    'migration copying, transferred 1.2 GiB of 4.0 GiB VM memory, 118 MiB/s, VM dirties: 12.0 MiB/s (62 %, converging)',
  ],
  [
    { dirtyBytesPerSecond: 140 * 2 ** 20, throttlePercent: 40 },
    'migration copying, transferred 1.2 GiB of 4.0 GiB VM memory, 118 MiB/s, VM dirties lots of memory: 140 MiB/s, vCPUs slowed by 40 % (62 %, converging)',
  ],
  [
    { dirtyBytesPerSecond: 0, waitingFor: 'connection' },
    'migration copying, transferred 1.2 GiB of 4.0 GiB VM memory, 118 MiB/s, waiting for connection (62 %, converging)',
  ],
])('a log line for %j', (changes, line) => {
  expect(renderLine(sampleProgress(changes))).toBe(line);
});

test('the first line has the limits', () => {
  const options = {
    mode: 'auto',
    bandwidthBytesPerSecond: 125_000_000,
    maxDowntimeMs: 50,
    finishByMs: 0,
    timeoutMs: 0,
    onTimeout: 'post-copy',
    hold: null,
    verify: false,
    throttle: { enabled: true, minRatio: 5, minPagesPerSecond: 0, historyPagesPerSecond: 0, maxPercent: 99 },
    connections: 0,
    without: [],
    tracker: 'kernel',
    disks: 'auto',
    diskPaths: {},
    sourceDisks: 'keep',
  } as const;
  expect(renderStartLine({ ...migration, options })).toBe(
    'migration m1: VM web1, peer b, mode auto, downtime limit 50.0 ms, bandwidth 1 Gbit/s',
  );
});

test('in a log there is at most one line a second', () => {
  const io = recordingIo(false);
  let nowMs = 0;
  const display = openDisplay(io, () => nowMs);
  display.started(migration);
  for (; nowMs < 3500; nowMs += 100) display.progressed(sampleProgress());
  expect(io.text().match(/^migration copying/gm)).toHaveLength(4);
});

test('in a terminal it is redrawn in place and the bar never goes back', () => {
  const io = recordingIo(true);
  let nowMs = 0;
  const display = openDisplay(io, () => nowMs);
  display.started(migration);
  display.progressed(sampleProgress({ percent: 50 }));
  nowMs = 1000;
  display.progressed(sampleProgress({ percent: 40 }));
  display.ended({ ...migration, state: 'completed', report: sampleReport() });
  const frames = io.text().split('\u001b[3A\u001b[J');
  expect(frames).toHaveLength(3);
  expect(frames[0]).toContain(' 50 %');
  expect(frames[1]).toContain(' 50 %');
  expect(frames[2]).toBe('migration completed, transferred 120 MiB, average speed 37.4 MiB/s - downtime 12.3 ms\n');
});

test('help goes to stdout and is no error', async () => {
  const { status, out } = await startCli(['migrate', '--help']).finished;
  expect(status).toBe(0);
  expect(out).toContain('--max-downtime <duration>');
  expect(out).toContain('Ctrl-C cancels the migration');
});
