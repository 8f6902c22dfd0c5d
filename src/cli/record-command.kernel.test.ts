/** `godwit fleet record`, from a host that runs, and what `godwit fleet simulate` makes of it. */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { startCli } from '../../test/support/in-process-cli.ts';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { startTrialDaemon } from '../../test/support/trial-daemon.ts';

test('what plans depend on is written down once, without secrets, and can be planned with', async () => {
  await using trial = await startTrialDaemon({ token: 'a secret of sixteen or more' });
  using directory = new TempDirectory();
  const [fleet, token, recording] = ['fleet.yaml', 'a.token', 'fleet.json'].map((name) => directory.join(name));
  writeFileSync(token!, 'a secret of sixteen or more\n');
  writeFileSync(fleet!, `hosts: {a: {api: "${trial.daemon.api[0]}", tokenFile: a.token}, b: {api: "unix:/nowhere"}}\n`);
  const cli = (...args: string[]) => startCli(['fleet', ...args]).finished;

  const { status, out } = await cli('record', recording!, '--fleet', fleet!);
  expect([status, out]).toEqual([0, `1 VMs of 1 hosts are in ${recording}.\n`]);
  expect(statSync(recording!).mode & 0o777).toBe(0o600);
  const text = readFileSync(recording!, 'utf8');
  expect(text).not.toContain('a secret');
  expect(JSON.parse(text)).toMatchObject({ recording: 1, outlooks: [{ host: 'a', vms: [{ name: 'web1' }] }] });

  const again = await cli('record', recording!, '--fleet', fleet!);
  expect([again.status, again.err]).toEqual([2, expect.stringContaining('it is there already: give another name')]);
  expect(readFileSync(recording!, 'utf8')).toBe(text);

  const simulated = await cli('simulate', '--from', recording!, '--host', 'a', '--json');
  expect(JSON.parse(simulated.out)).toMatchObject({
    fleet: { vms: 1, leaving: 1, from: ['a'], recordedAtMs: expect.any(Number) },
    // b was silent.
    plan: { migrations: 0, refused: [{ vm: 'web1', text: expect.stringContaining('no host has room') }] },
  });
});
