// Hooks are programs: what they are told, and what becomes of those that fail or hang.
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import { Hooks } from './hooks.ts';

const VM = { name: 'web', uuid: 'u', epoch: 3, memoryBytes: 2 ** 26, vcpus: 2, nics: [] };
const OCCASION = { vm: VM, migration: 'm1', direction: 'outgoing', peer: '10.0.0.2:7710' } as const;

/** A host whose hook `preMigrate` is this shell script. */
function hooksOf(directory: TempDirectory, script: string, hookTimeoutMs = 20_000): Hooks {
  const path = directory.join('hook');
  writeFileSync(path, `#!/bin/sh\ncd ${directory.path}\n${script}\n`);
  chmodSync(path, 0o755);
  return new Hooks({ name: 'a', hooks: { preMigrate: path }, hookTimeoutMs }, { warn: () => undefined });
}

test('a hook is told all as JSON, and the most important in its environment', async () => {
  using directory = new TempDirectory();
  const hooks = hooksOf(directory, 'cat >told; echo "$GODWIT_HOOK $GODWIT_HOST $GODWIT_VM $GODWIT_PEER" >words');
  expect(await hooks.run('preMigrate', OCCASION)).toEqual([
    { hook: 'preMigrate', ms: expect.any(Number), problem: null },
  ]);
  expect(JSON.parse(readFileSync(directory.join('told'), 'utf8'))).toEqual({
    ...{ hook: 'preMigrate', host: 'a', migration: 'm1', direction: 'outgoing', peer: '10.0.0.2:7710' },
    vm: VM,
  });
  expect(readFileSync(directory.join('words'), 'utf8')).toBe('preMigrate a web 10.0.0.2:7710\n');
});

test('where there is no hook nothing is run', async () => {
  using directory = new TempDirectory();
  expect(await hooksOf(directory, '').run('postResume', OCCASION)).toEqual([]);
});

test.each([
  ['fails', 'echo the switch is locked >&2; exit 7', /hook ended with status 7: the switch is locked$/],
  ['is ended by a signal', 'kill -TERM $$', /hook was ended by SIGTERM$/],
  ['has said much', 'yes | head -c 100000 >&2; exit 1', /hook ended with status 1: .{100,500}$/s],
])('one that %s refuses the migration with its words', async (_, script, reason) => {
  using directory = new TempDirectory();
  await expect(hooksOf(directory, script).ask(OCCASION)).rejects.toMatchObject({
    code: 'GW_HOOK_REFUSED',
    details: { vm: 'web', reason: expect.stringMatching(reason) },
  });
});

test('one that hangs is ended with all that it has started', async () => {
  using directory = new TempDirectory();
  const hooks = hooksOf(directory, 'sleep 600 & echo $! >child; wait', 500);
  const [report] = await hooks.run('preMigrate', OCCASION);
  expect(report?.problem).toMatch(/took longer than hookTimeout \(500 ms\)/);
  const child = readFileSync(directory.join('child'), 'utf8').trim();
  await waitUntil('its child is gone', () => !isAlive(child));
});

test('one that leaves something running is not waited for longer than itself', async () => {
  using directory = new TempDirectory();
  const hooks = hooksOf(directory, 'sleep 30 & echo $! >child');
  const [report] = await hooks.run('preMigrate', OCCASION);
  process.kill(Number(readFileSync(directory.join('child'), 'utf8')));
  expect(report).toMatchObject({ problem: null });
  expect(report!.ms).toBeLessThan(20_000);
});

test('one that is not there is told as such', async () => {
  const hooks = new Hooks(
    { name: 'a', hooks: { preMigrate: '/nonexistent' }, hookTimeoutMs: 1000 },
    { warn: () => undefined },
  );
  const [report] = await hooks.run('preMigrate', OCCASION);
  expect(report?.problem).toBe('/nonexistent cannot be run: ENOENT');
});

/** A zombie has ended. */
function isAlive(pid: string): boolean {
  return existsSync(`/proc/${pid}/stat`) && !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
}
