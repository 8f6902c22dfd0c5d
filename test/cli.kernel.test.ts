import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type CliRun, startCli } from './support/in-process-cli.ts';
import { sampleProgress, sampleReport } from './support/scripted-engine.ts';
import { startTrialDaemon, type TrialDaemon } from './support/trial-daemon.ts';

const NOBODY = 'http://127.0.0.1:9';

function cli(trial: TrialDaemon, ...args: string[]): Promise<CliRun> {
  return startCli(['--api', trial.daemon.api[0]!, ...args]).finished;
}

describe('exit status and output', () => {
  test.each([
    [[], 2, 'GW_USAGE'],
    [['fly'], 2, 'GW_USAGE'],
    [['vm', 'list', '--colour'], 2, 'GW_USAGE'],
    [['migrate', 'web1'], 2, 'GW_USAGE'],
    [['migrate', 'web1', '--to', 'b', '--mode', 'warp'], 2, 'GW_USAGE'],
    [['migrate', 'web1', '--to', 'b', '--max-downtime', 'soon'], 2, 'GW_INPUT_INVALID'],
    [['migrate', 'web1', '--to', 'b', '--bandwidth', 'lots'], 2, 'GW_INPUT_INVALID'],
    [['migrate', 'web1', '--to', 'b', '--timeout', '5'], 2, 'GW_INPUT_INVALID'],
    [['migrate', 'web1', '--to', 'b', '--throttle-max', '100'], 2, 'GW_INPUT_INVALID'],
    [['migrate', 'web1', '--to', 'b', '--throttle-ratio', 'x'], 2, 'GW_USAGE'],
    [['migration', 'tune', 'm1'], 2, 'GW_USAGE'],
    [['bandwidth', 'lots'], 2, 'GW_INPUT_INVALID'],
    [['host', '--bandwidth', 'lots'], 2, 'GW_INPUT_INVALID'],
    [['host', '--dscp', 'cs8'], 2, 'GW_INPUT_INVALID'],
    [['vm', 'create', '/nonexistent.yaml'], 2, 'GW_INPUT_UNREADABLE'],
    [['vm', 'console', 'web1', '--follow', '--json'], 2, 'GW_USAGE'],
    [['vm', 'adopt', 'web1', '--pid', 'x', '--qmp', '/q'], 2, 'GW_INPUT_INVALID'],
    [['vm', 'list', '--api', NOBODY], 1, 'GW_API_UNREACHABLE'],
    [['vm', 'list', '--api', 'ftp://x'], 2, 'GW_INPUT_INVALID'],
    [['vm', 'list', '--api', 'unix:/nonexistent.sock'], 1, 'GW_API_UNREACHABLE'],
  ])('%j exits with %d and one JSON document with %s', async (args, status, code) => {
    const run = await startCli([...args, '--json']).finished;
    expect(run.status).toBe(status);
    expect(JSON.parse(run.out)).toMatchObject({ error: { code } });
  });

  test.each([['--help'], ['vm', '--help'], ['migrate', '--help'], ['--version']])('%s is no error', async (...args) => {
    const run = await startCli(args).finished;
    expect(run.status).toBe(0);
    expect(run.out).not.toBe('');
    expect(run.err).toBe('');
  });

  test('without --json stdout has the result only, stderr the error', async () => {
    await using trial = await startTrialDaemon();
    const list = await cli(trial, 'vm', 'list');
    expect(list.out).toBe(
      ['NAME  STATE    OWNER   MEMORY  VCPUS  PID  MIGRATION', 'web1  running  a      512 MiB      1  PID  -', '']
        .join('\n')
        .replace('  PID  M', `${'PID'.padStart(String(process.pid).length + 2)}  M`)
        .replace('1  PID', `1  ${process.pid}`),
    );
    const missing = await cli(trial, 'vm', 'show', 'nobody');
    expect(missing).toMatchObject({ status: 2, out: '' });
    expect(missing.err).toBe('godwit: There is no VM named nobody on this host [GW_NOT_FOUND]\n');
  });

  test('--json: list is an array, console is {text}', async () => {
    await using trial = await startTrialDaemon();
    expect(JSON.parse((await cli(trial, 'vm', 'list', '--json')).out)).toMatchObject([
      { name: 'web1', state: 'running', owner: 'a' },
    ]);
    expect(JSON.parse((await cli(trial, 'vm', 'console', 'web1', '--json')).out)).toEqual({
      name: 'web1',
      text: 'hello from the guest\n',
    });
    expect((await cli(trial, 'vm', 'console', 'web1')).out).toBe('hello from the guest\n');
  });

  test('the address comes from GODWIT_API when no option says otherwise', async () => {
    await using trial = await startTrialDaemon();
    const run = await startCli(['vm', 'list', '--json'], { environment: { GODWIT_API: trial.daemon.api[0] } }).finished;
    expect(run.status).toBe(0);
  });

  test('every problem of a spec is named before the host is asked', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'godwit-cli-'));
    const path = join(directory, 'bad.yaml');
    writeFileSync(path, 'name: -x\nmemory: lots\nboot: {initrd: 3}\n');
    const run = await startCli(['--api', NOBODY, 'vm', 'create', path]).finished;
    rmSync(directory, { recursive: true });
    expect(run.status).toBe(2);
    expect(run.err).toBe(
      [
        'godwit: 4 problems [GW_INPUT_INVALID]',
        '  name: "-x" is not valid: give 1 to 63 letters, digits, dots, dashes or underscores, the first a letter or digit',
        '  memory: "lots" is not valid: give a size of whole MiB from 4MiB to 16TiB, such as 512MiB or 2GiB, or a number of bytes',
        '  boot.kernel is missing: give the absolute path of a file on the host',
        '  boot.initrd: 3 is not valid: give the absolute path of a file on the host',
        '',
      ].join('\n'),
    );
  });
});

describe('migrate', () => {
  test('waits for the end, shows progress on stderr, prints the report', async () => {
    await using trial = await startTrialDaemon();
    const run = startCli([
      '--api',
      trial.daemon.api[0]!,
      'migrate',
      'web1',
      '--to',
      '127.0.0.1:9',
      '--json',
      '--max-downtime',
      '20ms',
      '--bandwidth',
      '1Gbit/s',
      '--timeout',
      '5m',
      '--on-timeout',
      'cancel',
      '--no-throttle',
      '--mode',
      'pre-copy',
      '--tracker',
      'groups:64',
    ]);
    await expect.poll(() => run.err()).toContain('downtime limit 20.0 ms, bandwidth 1 Gbit/s');
    const handle = trial.engine.outgoing[0]!;
    expect(handle.options).toMatchObject({
      mode: 'pre-copy',
      maxDowntimeMs: 20,
      bandwidthBytesPerSecond: 125_000_000,
      timeoutMs: 300_000,
      onTimeout: 'cancel',
      throttle: { enabled: false, minRatio: 5 },
      tracker: 'groups:64',
    });
    handle.emit({ kind: 'progressed', progress: sampleProgress() });
    await expect
      .poll(() => run.err())
      .toContain('migration copying, transferred 1.2 GiB of 4.0 GiB VM memory, 118 MiB/s');
    handle.finish({ kind: 'left', to: 'b', epoch: 2 });
    const { status, out, err } = await run.finished;
    expect(status).toBe(0);
    expect(JSON.parse(out)).toMatchObject({ id: handle.id, vm: 'web1', outcome: 'completed', downtimeMs: 12.3 });
    expect(err).toContain('migration completed, transferred 120 MiB, average speed 37.4 MiB/s - downtime 12.3 ms\n');
  });

  test.each([
    ['failed', { code: 'GW_WIRE_CLOSED', message: 'cut', details: {} }, 1],
    ['failed', { code: 'GW_SYS_NO_ROOM', message: 'full', details: {} }, 3],
    ['refused', { code: 'GW_MIGRATION_REFUSED', message: 'no', details: {} }, 3],
    ['cancelled', null, 130],
    ['completed', null, 0],
  ] as const)('%s with %j exits with the status of the table', async (outcome, error, status) => {
    await using trial = await startTrialDaemon();
    const run = startCli(['--api', trial.daemon.api[0]!, 'migrate', 'web1', '--to', '127.0.0.1:9', '--json']);
    await expect.poll(() => trial.engine.outgoing.length).toBe(1);
    trial.engine.outgoing[0]!.finish({ kind: 'stays' }, { outcome, error });
    const { status: exit, out } = await run.finished;
    expect(exit).toBe(status);
    expect(JSON.parse(out)).toMatchObject({ outcome, error });
  });

  test('Ctrl-C cancels', async () => {
    await using trial = await startTrialDaemon();
    const run = startCli(['--api', trial.daemon.api[0]!, 'migrate', 'web1', '--to', '127.0.0.1:9']);
    await expect.poll(() => run.err()).toContain('mode auto');
    run.interrupt();
    const { status, err } = await run.finished;
    expect(status).toBe(130);
    expect(err).toContain('cancelling (Ctrl-C again: leave it running) …');
    expect(trial.engine.outgoing[0]!.commands).toEqual([{ kind: 'cancel' }]);
  });

  test('Ctrl-C when it is too late says so and goes on watching; a second one leaves', async () => {
    await using trial = await startTrialDaemon();
    const run = startCli(['--api', trial.daemon.api[0]!, 'migrate', 'web1', '--to', '127.0.0.1:9']);
    await expect.poll(() => run.err()).toContain('mode auto');
    const { GodwitError } = await import('../src/base/errors.ts');
    trial.engine.outgoing[0]!.refusal = new GodwitError('GW_MIGRATION_TOO_LATE', { vm: 'web1' });
    run.interrupt();
    await expect.poll(() => run.err()).toContain('Too late to cancel: VM web1 already runs at the destination');
    run.interrupt();
    const { status, err } = await run.finished;
    expect(status).toBe(130);
    expect(err).toContain('Stopped watching; it goes on');
    trial.engine.outgoing[0]!.refusal = undefined;
  });

  test('--detach returns at once; watch goes on to the end', async () => {
    await using trial = await startTrialDaemon();
    const run = await cli(trial, 'migrate', 'web1', '--to', '127.0.0.1:9', '--detach', '--json');
    const { id } = JSON.parse(run.out) as { id: string };
    const watching = startCli(['--api', trial.daemon.api[0]!, 'migration', 'watch', id, '--json']);
    await expect.poll(() => watching.err()).toContain(id);
    expect((await cli(trial, 'migration', 'tune', id, '--bandwidth', '200MiB/s')).status).toBe(0);
    expect((await cli(trial, 'migration', 'tune', id, '--timeout', '5m', '--on-timeout', 'pause')).status).toBe(0);
    expect((await cli(trial, 'migration', 'switch-postcopy', id)).status).toBe(0);
    trial.engine.outgoing[0]!.finish({ kind: 'left', to: 'b', epoch: 2 });
    expect(await watching.finished).toMatchObject({ status: 0 });
    expect(trial.engine.outgoing[0]!.commands).toEqual([
      { kind: 'tune', bandwidthBytesPerSecond: 200 * 2 ** 20 },
      { kind: 'tune', timeoutMs: 300_000, onTimeout: 'pause' },
      { kind: 'switchPostCopy' },
    ]);
    expect((await cli(trial, 'migration', 'list')).out).toContain(id);
    expect((await cli(trial, 'migration', 'show', id)).out).toContain('mode auto: completed');
    expect((await cli(trial, 'migration', 'cancel', id)).status).toBe(3);
  });
});

test('reports of an earlier version are listed and shown, damaged ones are left out', async () => {
  const { packing: _a, tracker: _b, prediction: _c, ...earlier } = sampleReport({ id: 'earlier' });
  const files = { earlier: JSON.stringify(earlier), cut: '{"id": "cut"', other: '{"id": "other"}' };
  const prepare = (_engine: unknown, state: string): void => {
    for (const [id, text] of Object.entries(files)) {
      mkdirSync(join(state, 'migrations', id), { recursive: true });
      writeFileSync(join(state, 'migrations', id, 'report.json'), text);
    }
  };
  await using trial = await startTrialDaemon({ prepare });
  const list = await cli(trial, 'migration', 'list', '--json');
  expect(JSON.parse(list.out)).toMatchObject([{ id: 'earlier', state: 'completed' }]);
  const shown = await cli(trial, 'migration', 'show', 'earlier');
  expect(shown).toMatchObject({ status: 0, err: '' });
  expect(shown.out).toContain('migration earlier: web1 from a to b, mode auto: completed');
});

test('check exits with 3 when something blocks, and its result says what and the fix', async () => {
  await using trial = await startTrialDaemon();
  const blocker = { id: 'private-ram', what: 'RAM', reason: 'private', fix: 'share it' };
  trial.engine.checkResult = { ok: false, outcome: 'refused', blockers: [blocker], notes: [], facts: {} };
  const run = await cli(trial, 'check', 'web1', '--to', '127.0.0.1:9', '--json');
  expect(run.status).toBe(3);
  expect(JSON.parse(run.out)).toEqual({ ok: false, outcome: 'refused', blockers: [blocker], notes: [], facts: {} });
  expect((await cli(trial, 'check', 'web1', '--to', '127.0.0.1:9')).out).toBe(
    'VM web1 cannot be migrated to 127.0.0.1:9:\n  RAM: private\n    fix: share it\n',
  );
});

test.each([
  ['refused', 3],
  ['failed', 1],
  ['ok', 0],
] as const)('check of a migration that would end as %s exits with %d', async (outcome, status) => {
  await using trial = await startTrialDaemon();
  trial.engine.checkResult = { ok: outcome === 'ok', outcome, blockers: [], notes: [], facts: {} };
  expect((await cli(trial, 'check', 'web1', '--to', '127.0.0.1:9')).status).toBe(status);
});

test('bandwidth shows the limit of the host and changes it', async () => {
  await using trial = await startTrialDaemon();
  expect((await cli(trial, 'bandwidth')).out).toBe('bandwidth of all migrations of host a: unlimited; 0 running\n');
  const changed = await cli(trial, 'bandwidth', '5Gbit/s', '--json');
  expect(JSON.parse(changed.out)).toEqual({ host: 'a', bandwidthBytesPerSecond: 625_000_000 });
  expect((await cli(trial, 'bandwidth')).out).toContain('5 Gbit/s');
  expect((await cli(trial, 'bandwidth')).out).not.toContain('until');
  expect((await cli(trial, 'bandwidth', 'unlimited')).out).toMatch(/unlimited; 0 running\nuntil the daemon ends/);
});
