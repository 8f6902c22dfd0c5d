/** Disks that go through the VM's block server: whoever dies, the guest notices nothing. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { isAlive, signalProcess, waitForExit } from '../../src/linux/process.ts';
import { requireCapability } from '../support/capability.ts';
import { furtherTest } from '../support/further-cases.ts';
import { startHost } from '../support/godwit-host.ts';
import { type ReachedHost, restart } from '../support/host-pair.ts';
import { createLedgerVm, findDiskServer, ledgerGrows } from '../support/ledger-vm.ts';
import { openTellingClient } from '../support/telling-client.ts';
import { waitUntil } from '../support/wait-until.ts';

const VM = 'served';

requireCapability('vm')('a disk that goes through the block server', () => {
  let at: ReachedHost;

  beforeAll(async () => {
    const host = await startHost({ name: 'a' });
    at = { host, client: openTellingClient(host) };
    await createLedgerVm(at, { name: VM, image: host.directory.join('disk.img'), trim: true });
  });

  afterAll(async () => {
    await at.client.close();
    await at.host[Symbol.asyncDispose]();
  });

  test('the next daemon finds its server again; the guest has gone on meanwhile', async () => {
    using server = await findDiskServer(at, VM);
    await at.host.kill();
    await at.host.start();
    await ledgerGrows(at, VM);
    using found = await findDiskServer(at, VM);
    expect(found.process).toEqual(server.process);
  });

  test('a server that is killed is followed by another, and the guest goes on without an error', async () => {
    using server = await findDiskServer(at, VM);
    signalProcess(server.process, 'SIGKILL');
    await server.closed;
    await ledgerGrows(at, VM);
    using next = await findDiskServer(at, VM);
    expect(next.process).not.toEqual(server.process);
    expect((await at.client.showVm(VM)).state).toBe('running');
  });

  test('the same where the daemon was killed, too', async () => {
    using server = await findDiskServer(at, VM);
    signalProcess(server.process, 'SIGKILL');
    await waitForExit(server.process);
    await restart(at);
    await ledgerGrows(at, VM);
  });

  furtherTest('a VM that its user has paused stays paused', async () => {
    using server = await findDiskServer(at, VM);
    await at.client.actOnVm(VM, 'pause');
    signalProcess(server.process, 'SIGKILL');
    await server.closed;
    await waitUntil('there is another server', async () => {
      using next = await findDiskServer(at, VM).catch(() => undefined);
      return next !== undefined && (await next.status()).turn === 'open';
    });
    expect((await at.client.showVm(VM)).state).toBe('paused');
    await at.client.actOnVm(VM, 'resume');
    await ledgerGrows(at, VM);
  });

  test('it ends with the VM', async () => {
    using server = await findDiskServer(at, VM);
    await at.client.actOnVm(VM, 'kill');
    await waitForExit(server.process, { timeoutMs: 10_000 });
    expect(isAlive(server.process)).toBe(false);
  });
});
