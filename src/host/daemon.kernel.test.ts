import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { refusedWith, startTrialDaemon } from '../../test/support/trial-daemon.ts';
import { GodwitClient } from '../client/godwit-client.ts';
import { resolveConfig } from './config.ts';
import { startDaemon } from './daemon.ts';
import { openLogger } from './logger.ts';

describe('VM registry', () => {
  test('a VM of an earlier daemon is found again by its process and its QMP socket', async () => {
    await using trial = await startTrialDaemon();
    expect(await trial.client.listVms()).toMatchObject([
      { name: 'web1', state: 'running', owner: 'a', pid: process.pid, migration: null, epoch: 1, adopted: false },
    ]);
  });

  test('pause and resume ask QEMU and answer with its state', async () => {
    await using trial = await startTrialDaemon();
    expect(await trial.client.actOnVm('web1', 'pause')).toMatchObject({ state: 'paused' });
    expect(await trial.client.actOnVm('web1', 'resume')).toMatchObject({ state: 'running' });
    expect(trial.qmp.commands).toContain('stop');
  });

  test('a process id that was used again is not the VM', async () => {
    await using trial = await startTrialDaemon({
      prepare: (_engine, state) => {
        const path = join(state, 'vms', 'web1', 'vm.json');
        const stored = JSON.parse(readFileSync(path, 'utf8')) as { startTicks: number };
        writeFileSync(path, JSON.stringify({ ...stored, startTicks: stored.startTicks - 1 }));
      },
    });
    expect(await trial.client.showVm('web1')).toMatchObject({ state: 'crashed', pid: null, ended: { how: 'lost' } });
  });

  test('a VM that runs cannot be forgotten', async () => {
    await using trial = await startTrialDaemon();
    await expect(trial.client.removeVm('web1')).rejects.toThrow(refusedWith('GW_CONFLICT') as Error);
  });

  test('a name is taken while its VM lives', async () => {
    await using trial = await startTrialDaemon();
    await expect(trial.client.createVm({ name: 'web1', memory: '64MiB' })).rejects.toThrow(
      refusedWith('GW_VM_EXISTS') as Error,
    );
  });

  test('files of a spec that are not there are named', async () => {
    await using trial = await startTrialDaemon();
    const spec = { name: 'web2', memory: '64MiB', boot: { kernel: '/nonexistent/vmlinuz' } };
    await expect(trial.client.createVm(spec)).rejects.toThrow(/boot\.kernel: \/nonexistent\/vmlinuz is not valid/);
  });

  test('a VM larger than the memory is refused before QEMU starts', async () => {
    await using trial = await startTrialDaemon();
    await expect(trial.client.createVm({ name: 'web2', memory: '15TiB' })).rejects.toThrow(
      refusedWith('GW_SYS_NO_ROOM') as Error,
    );
  });

  test('a missing QEMU leaves nothing behind', async () => {
    await using trial = await startTrialDaemon();
    const spec = { name: 'web2', memory: '64MiB', qemu: '/nonexistent/qemu' };
    await expect(trial.client.createVm(spec)).rejects.toThrow(refusedWith('GW_QEMU_START') as Error);
    expect((await trial.client.listVms()).map(({ name }) => name)).toEqual(['web1']);
    expect(readdirSync(join(trial.state, 'vms'))).toEqual(['web1']);
  });
});

describe('start', () => {
  const log = openLogger({ level: 'silent', format: 'json', name: 'a' });
  const config = (state: string, listen: string): ReturnType<typeof resolveConfig> =>
    resolveConfig({ name: 'a', listen, migrationListen: '127.0.0.1:0', state }, { terminal: false });

  test('a second daemon on the same state directory is refused with the pid of the first', async () => {
    await using trial = await startTrialDaemon();
    const second = startDaemon(config(trial.state, '127.0.0.1:0'), { engine: trial.engine, log, version: '0' });
    await expect(second).rejects.toThrow(
      new RegExp(`another daemon \\(pid ${process.pid}\\) uses the state directory`),
    );
  });

  test('a taken API port is named, and the state directory is free again', async () => {
    await using trial = await startTrialDaemon();
    const state = `${trial.state}/other`;
    const listen = trial.daemon.api[0]!.replace('http://', '');
    const parts = { engine: trial.engine, log, version: '0' };
    await expect(startDaemon(config(state, listen), parts)).rejects.toThrow(`cannot listen on ${listen}: it is in use`);
    const next = await startDaemon(config(state, '127.0.0.1:0'), parts);
    await next.close();
  });

  test('begins with the bandwidth limit of its configuration, whatever an earlier daemon was told meanwhile', async () => {
    await using trial = await startTrialDaemon({ settings: { bandwidth: 1000 } });
    await trial.client.tuneHost({ bandwidthBytesPerSecond: 2000 });
    expect(await trial.client.host()).toMatchObject({ bandwidthBytesPerSecond: 2000 });
    await trial.daemon.close();
    const settings = { ...config(trial.state, '127.0.0.1:0'), bandwidthBytesPerSecond: 1000 };
    const next = await startDaemon(settings, { engine: trial.engine, log, version: '0' });
    const client = new GodwitClient({ url: next.api[0]! });
    expect(await client.host()).toMatchObject({ bandwidthBytesPerSecond: 1000 });
    await client.close();
    await next.close();
  });

  test('a disk without any room is named, and nothing is left of the try', async () => {
    await using trial = await startTrialDaemon();
    const state = join(trial.state, 'other');
    const lock = join(state, `daemon.lock.${process.pid}`);
    mkdirSync(state);
    symlinkSync('/dev/full', lock);
    const started = startDaemon(config(state, '127.0.0.1:0'), { engine: trial.engine, log, version: '0' });
    await expect(started).rejects.toThrow(`cannot write ${lock} (ENOSPC)`);
    expect(readdirSync(state)).toEqual([]);
  });

  test('a state directory that cannot be made is named', async () => {
    await using trial = await startTrialDaemon();
    const state = `${trial.record.consoleLogPath}/inside-a-file`;
    const started = startDaemon(config(state, '127.0.0.1:0'), { engine: trial.engine, log, version: '0' });
    await expect(started).rejects.toThrow(/the state directory .* cannot be written \(ENOTDIR\)/);
  });
});
