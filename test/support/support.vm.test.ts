import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { identifyProcess, isAlive } from '../../src/linux/process.ts';
import { requireCapability } from './capability.ts';
import { runCli } from './godwit-cli.ts';
import { startHost } from './godwit-host.ts';
import { HostPair } from './host-pair.ts';
import { checkLeaks, listProcesses, markChildren } from './leak-check.ts';
import { startTinyVm } from './tiny-vm.ts';
import { waitUntil } from './wait-until.ts';

checkLeaks();
const describe = requireCapability('vm');

describe('the test kit', () => {
  test('a VM leaves neither process nor files', async () => {
    const vm = await startTinyVm();
    expect(listProcesses()).toHaveLength(1);
    expect(listProcesses()[0]).toContain('qemu-system-x86_64');
    await vm[Symbol.asyncDispose]();
    expect(isAlive(vm.identity)).toBe(false);
    expect(existsSync(vm.directory.path)).toBe(false);
    expect(listProcesses()).toEqual([]);
  });

  test('a process in a session of its own is found by its mark', async () => {
    markChildren();
    const shell = spawn('/bin/sh', ['-c', 'setsid sleep 60 >/dev/null 2>&1 &'], { stdio: 'ignore' });
    const [found] = await waitUntil('it is found', () => {
      const processes = listProcesses().filter((line) => line.endsWith(': sleep 60'));
      return processes.length === 1 && processes;
    });
    const pid = Number(/^process (\d+):/.exec(found!)![1]);
    expect(pid).not.toBe(shell.pid);
    process.kill(pid, 'SIGKILL');
    await waitUntil('it is gone', () => listProcesses().length === 0);
  });

  test('the command line gives status, output and JSON', async () => {
    expect(await runCli(['--version'])).toMatchObject({ status: 0, stderr: '' });
    const refused = await runCli(['vm', 'list', '--json'], { api: 'http://127.0.0.1:9' });
    expect(refused.status).toBe(1);
    expect(refused.stderr + refused.stdout).toContain('127.0.0.1:9');
  });

  test('a host starts, runs a VM, and is found again with it after a crash', async () => {
    await using host = await startHost({ name: 'a' });
    await host.createTinyVm({ name: 'tiny1', accel: 'tcg' });
    expect(await host.json(['vm', 'list'])).toMatchObject([{ name: 'tiny1', state: 'running' }]);
    using guest = await host.openGuest('tiny1');
    const { api, migration, pid } = host;
    await host.kill();
    expect(identifyProcess(pid)).toBeUndefined();
    await guest.passes(1);
    await host.start();
    expect([host.api, host.migration]).toEqual([api, migration]);
    expect(await host.json(['vm', 'list'])).toMatchObject([{ name: 'tiny1', state: 'running' }]);
    await host.json(['vm', 'pause', 'tiny1']);
    expect(guest.checkInvariant()).toEqual({ ok: true });
  });

  test('a host that cannot start says why', async () => {
    await expect(startHost({ name: 'a', args: ['--log-level', 'loud'] })).rejects.toThrow('logLevel');
  });

  test('a daemon that dies by itself is told from a closed connection, and fails the test', async () => {
    const pair = await HostPair.open();
    process.kill(pair.a.host.pid, 'SIGSEGV');
    const told = /daemon of host a ended by itself with SIGSEGV; what it logged last:\n.*ready/;
    await expect(pair.a.client.listVms()).rejects.toThrow(told);
    await expect(pair[Symbol.asyncDispose]()).rejects.toThrow(told);
  });

  test('a daemon that is told to end has not died by itself', async () => {
    const host = await startHost({ name: 'a' });
    await host.kill();
    await host.start();
    await host.stop();
    expect(await host.unexpectedEnds()).toBe('');
    await host[Symbol.asyncDispose]();
  });
});
