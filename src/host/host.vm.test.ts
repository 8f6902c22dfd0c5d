import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { buildTinyGuest } from '../../guest/tiny/image.ts';
import { FIRST_USABLE_PAGE } from '../../guest/tiny/layout.ts';
import { requireCapability } from '../../test/support/capability.ts';
import { runCli } from '../../test/support/godwit-cli.ts';
import { startHost, type TestHost } from '../../test/support/godwit-host.ts';
import { checkLeaks } from '../../test/support/leak-check.ts';
import { leaveThrottled } from '../../test/support/left-throttle.ts';
import { CALM, startTinyVm } from '../../test/support/tiny-vm.ts';
import { listMarks } from '../../test/support/traces.ts';
import type { VmSpecInput, VmView } from '../api/vm-schema.ts';
import { hasCode } from '../base/errors.ts';
import { GodwitClient } from '../client/godwit-client.ts';
import { identifyProcess, signalProcess } from '../linux/process.ts';

checkLeaks();

const refusedWith = (code: string): Error => expect.toSatisfy((error) => hasCode(error, code as never)) as Error;

interface HostWithClient extends AsyncDisposable {
  readonly host: TestHost;
  /** Made anew after a restart: the daemon's connections end with it. */
  client: GodwitClient;
}

async function startWithClient(): Promise<HostWithClient> {
  const host = await startHost({ name: 'a' });
  const client = new GodwitClient({ url: host.api });
  return { host, client, [Symbol.asyncDispose]: () => host[Symbol.asyncDispose]() };
}

/** A guest that writes a dot to its console with every pass over 4 MiB. */
function tinySpec({ host }: HostWithClient, changes: Partial<VmSpecInput> = {}): VmSpecInput {
  const firmware = host.directory.join('tiny.bin');
  const range = { firstPage: FIRST_USABLE_PAGE, pageCount: 1024 };
  writeFileSync(firmware, buildTinyGuest({ mode: 'long3', ...range, delay: 10_000, heartbeatPasses: 1 }));
  return { name: 'web1', memory: '64MiB', accel: 'tcg', firmware, ...changes };
}

async function dots(host: HostWithClient): Promise<number> {
  return (await host.client.consoleText('web1')).split('.').length;
}

requireCapability('vm')('host daemon with real QEMU', () => {
  test('creates a VM that runs, writes to its console, pauses, resumes and is killed', async () => {
    await using host = await startWithClient();
    const created = await host.client.createVm(tinySpec(host));
    expect(created).toMatchObject({ name: 'web1', state: 'running', owner: 'a', memoryBytes: 64 * 2 ** 20, epoch: 1 });
    await expect.poll(() => dots(host), { timeout: 10_000 }).toBeGreaterThan(2);

    expect(await host.client.actOnVm('web1', 'pause')).toMatchObject({ state: 'paused' });
    const before = await dots(host);
    expect(await host.client.actOnVm('web1', 'resume')).toMatchObject({ state: 'running' });
    await expect.poll(() => dots(host), { timeout: 10_000 }).toBeGreaterThan(before);

    expect(await host.client.actOnVm('web1', 'kill')).toMatchObject({
      state: 'stopped',
      ended: { how: 'killed' },
      pid: null,
    });
    expect(identifyProcess(created.pid!)).toBeUndefined();
    expect(await dots(host)).toBeGreaterThan(2);
    await host.client.removeVm('web1');
    expect(await host.client.listVms()).toEqual([]);
    expect(readdirSync(host.host.directory.join('state', 'vms'))).toEqual([]);
  });

  test('QEMU has no file left in /dev/shm', async () => {
    await using host = await startWithClient();
    await host.client.createVm(tinySpec(host, { name: 'shm-check' }));
    expect(readdirSync('/dev/shm').filter((name) => name.includes('shm-check'))).toEqual([]);
  });

  test.each(['SIGTERM', 'SIGKILL'] as const)('after %s the VM runs on and is found again', async (signal) => {
    await using host = await startWithClient();
    const created = await host.client.createVm(tinySpec(host));
    await (signal === 'SIGTERM' ? expect(host.host.stop()).resolves.toBe(0) : host.host.kill());
    expect(identifyProcess(created.pid!)).toBeDefined();
    await host.host.start();
    expect(await host.client.listVms()).toMatchObject([
      { name: 'web1', state: 'running', pid: created.pid, uuid: created.uuid },
    ]);
    expect(await host.client.actOnVm('web1', 'pause')).toMatchObject({ state: 'paused' });
  });

  test('a throttle that a killed daemon left, with its watchdog, is lifted by the next one', async () => {
    await using host = await startWithClient();
    const { pid } = await host.client.createVm(tinySpec(host));
    await host.host.stop();
    await leaveThrottled(pid!, 'web1');
    expect(listMarks(pid!)).toEqual([expect.stringContaining("in a throttle's group")]);
    await host.host.start();
    expect(listMarks(pid!)).toEqual([]);
  });

  test('a VM that ended while no daemon was there is found as such', async () => {
    await using host = await startWithClient();
    const created = await host.client.createVm(tinySpec(host));
    await host.host.stop();
    signalProcess(identifyProcess(created.pid!)!, 'SIGKILL');
    await host.host.start();
    expect(await host.client.showVm('web1')).toMatchObject({ state: 'crashed', ended: { how: 'lost' } });
    expect(await host.client.createVm(tinySpec(host))).toMatchObject({ state: 'running' });
  });

  test('a QEMU that dies is noticed at once, and the record says so', async () => {
    await using host = await startWithClient();
    const created = await host.client.createVm(tinySpec(host));
    signalProcess(identifyProcess(created.pid!)!, 'SIGKILL');
    await expect.poll(() => host.client.showVm('web1')).toMatchObject({ state: 'crashed', ended: { how: 'crashed' } });
    await expect(host.client.actOnVm('web1', 'pause')).rejects.toThrow(refusedWith('GW_CONFLICT'));
  });

  test('a guest that does not power down is stopped by force after the time', async () => {
    await using host = await startWithClient();
    await host.client.createVm(tinySpec(host));
    const stopped = await host.client.stopVm('web1', { timeoutMs: 200 });
    expect(stopped).toMatchObject({ state: 'stopped', ended: { how: 'stopped', reason: 'QEMU was told to quit' } });
  });

  test('QEMU that refuses its arguments is told in its own words and leaves nothing', async () => {
    await using host = await startWithClient();
    const spec = tinySpec(host, { qemuArgs: ['-device', 'no-such-device'] });
    await expect(host.client.createVm(spec)).rejects.toThrow(/QEMU did not start: .*no-such-device/);
    expect(await host.client.listVms()).toEqual([]);
    expect(existsSync(host.host.directory.join('state', 'vms', 'web1', 'vm.json'))).toBe(false);
  });

  test('of two creations of one name at once one wins', async () => {
    await using host = await startWithClient();
    const spec = tinySpec(host);
    const outcomes = await Promise.allSettled([host.client.createVm(spec), host.client.createVm(spec)]);
    const won = outcomes.filter((outcome): outcome is PromiseFulfilledResult<VmView> => outcome.status === 'fulfilled');
    const lost = outcomes.filter((outcome) => outcome.status === 'rejected');
    expect(won).toHaveLength(1);
    expect(lost).toMatchObject([{ reason: { code: 'GW_VM_EXISTS' } }]);
  });

  test('adopts a QEMU that somebody else started and leaves it when it goes', async () => {
    await using vm = await startTinyVm({ adoptable: true, guest: CALM });
    await using host = await startWithClient();
    const adopted = await host.client.adoptVm({ name: 'mine', pid: vm.identity.pid, qmp: vm.adoptQmpPath });
    expect(adopted).toMatchObject({
      state: 'running',
      adopted: true,
      pid: vm.identity.pid,
      memoryBytes: vm.ramBytes,
      vcpus: 1,
    });
    expect(adopted.notes).toEqual([]);
    expect(await host.client.actOnVm('mine', 'pause')).toMatchObject({ state: 'paused' });
    await expect(host.client.adoptVm({ name: 'again', pid: vm.identity.pid, qmp: vm.adoptQmpPath })).rejects.toThrow(
      refusedWith('GW_CONFLICT'),
    );
    await expect(host.client.consoleText('mine')).rejects.toThrow(refusedWith('GW_NOT_FOUND'));
    await host.host.stop();
    expect(identifyProcess(vm.identity.pid)).toBeDefined();
  });

  test('what is no QEMU cannot be adopted', async () => {
    await using host = await startWithClient();
    const request = { name: 'x', pid: process.pid, qmp: '/nonexistent.sock' };
    await expect(host.client.adoptVm(request)).rejects.toThrow(/qmp: \/nonexistent\.sock is not valid/);
    await expect(host.client.adoptVm({ ...request, pid: 4_194_303 })).rejects.toThrow(/pid: 4194303 is not valid/);
  });
});

requireCapability('vm')('godwit host', () => {
  const free = ['--listen', '127.0.0.1:0', '--migration-listen', '127.0.0.1:0'];

  test('refuses to start, with status 1 and the reason, on a state directory or a port in use', async () => {
    await using host = await startHost({ name: 'a' });
    const second = await runCli(['host', '--state', host.directory.join('state'), ...free, '--json']);
    expect(second.status).toBe(1);
    expect(second.json).toMatchObject({ error: { code: 'GW_HOST_START', details: { pid: host.pid } } });
    const other = ['host', '--state', host.directory.join('other'), ...free];
    const third = await runCli([...other, '--listen', host.api.replace('http://', '')]);
    expect(third.status).toBe(1);
    expect(third.stderr).toContain('it is in use by another process [GW_HOST_START]');
    const fourth = await runCli([...other, '--migration-listen', host.migration]);
    expect(fourth.status).toBe(1);
    expect(fourth.stderr).toContain('[GW_HOST_START]');
  });

  test('refuses a migration port that other machines can reach, with status 2', async () => {
    const run = await runCli(['host', '--migration-listen', '0.0.0.0:0', '--state', '/nonexistent/never/made']);
    expect(run.status).toBe(2);
    expect(run.stderr).toContain('--insecure-migration');
  });
});
