import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { sampleProgress, sampleRecord, sampleReport } from '../../test/support/scripted-engine.ts';
import { startTrialDaemon, type TrialDaemon } from '../../test/support/trial-daemon.ts';
import { GodwitError, hasCode } from '../base/errors.ts';
import { DEFAULT_MIGRATION_OPTIONS } from '../migration/request.ts';
import type { VmRecord } from '../migration/vm-record.ts';
import { resolveConfig } from './config.ts';
import { startDaemon } from './daemon.ts';
import { openLogger } from './logger.ts';
import { MigrationStore } from './migration-store.ts';

const refusedWith = (code: string): unknown => expect.toSatisfy((error) => hasCode(error, code as never));

async function settleEvents(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await nextTurn();
}

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

describe('outgoing migration', () => {
  async function migrating(trial: TrialDaemon): Promise<string> {
    return (await trial.client.migrate('web1', { to: '127.0.0.1:9' })).id;
  }

  test('gives QMP away, keeps everybody else from the VM and takes it back when it stays', async () => {
    await using trial = await startTrialDaemon();
    const id = await migrating(trial);
    await settleEvents();
    expect(trial.qmp.connections).toBe(0);
    expect(await trial.client.showVm('web1')).toMatchObject({ state: 'leaving', migration: id, owner: 'a' });
    for (const action of ['pause', 'resume', 'kill'] as const) {
      await expect(trial.client.actOnVm('web1', action)).rejects.toThrow(refusedWith('GW_MIGRATION_BUSY') as Error);
    }
    await expect(trial.client.stopVm('web1')).rejects.toThrow(refusedWith('GW_MIGRATION_BUSY') as Error);
    await expect(migrating(trial)).rejects.toThrow(refusedWith('GW_MIGRATION_BUSY') as Error);
    trial.engine.outgoing[0]!.finish({ kind: 'stays' }, { outcome: 'failed' });
    await settleEvents();
    expect(await trial.client.showVm('web1')).toMatchObject({ state: 'running', migration: null });
    expect(await trial.client.actOnVm('web1', 'pause')).toMatchObject({ state: 'paused' });
  });

  test('a VM that has left is in the list no more; its files go when the migration ends', async () => {
    await using trial = await startTrialDaemon();
    const id = await migrating(trial);
    const handle = trial.engine.outgoing[0]!;
    handle.settle({ kind: 'left', to: 'b', epoch: 2 });
    await settleEvents();
    expect(await trial.client.listVms()).toEqual([]);
    expect(existsSync(trial.record.qmpPath)).toBe(true);
    handle.finish({ kind: 'left', to: 'b', epoch: 2 });
    await settleEvents();
    expect(existsSync(trial.record.qmpPath)).toBe(false);
    expect(await trial.client.showMigration(id)).toMatchObject({
      state: 'completed',
      report: { id, outcome: 'completed' },
    });
    expect(existsSync(join(trial.state, 'vms', 'web1', 'vm.json'))).toBe(false);
  });

  test('options not given have their defaults; peers go by name', async () => {
    await using trial = await startTrialDaemon({ settings: { peers: { b: '10.0.0.2:7710' } } });
    await trial.client.migrate('web1', { to: 'b', throttle: { maxPercent: 50 }, verify: true });
    expect(trial.engine.inputs[0]).toMatchObject({
      to: '10.0.0.2:7710',
      hostName: 'a',
      stateDirectory: trial.state,
      options: {
        ...DEFAULT_MIGRATION_OPTIONS,
        verify: true,
        throttle: { ...DEFAULT_MIGRATION_OPTIONS.throttle, maxPercent: 50 },
      },
    });
  });

  test('progress, notes and new limits are shown, and the end comes after the settlement', async () => {
    await using trial = await startTrialDaemon();
    const kinds: string[] = [];
    const id = await migrating(trial);
    const watching = (async () => {
      for await (const event of trial.client.watchMigration(id)) kinds.push(event.kind);
    })();
    await expect.poll(() => kinds).toEqual(['migrationStarted']);
    const handle = trial.engine.outgoing[0]!;
    handle.emit({ kind: 'phaseChanged', phase: 'copying', atMs: Date.now() });
    handle.emit({ kind: 'progressed', progress: sampleProgress() });
    handle.emit({ kind: 'noted', level: 'warn', text: 'a note' });
    expect(await trial.client.tuneMigration(id, { maxDowntimeMs: 20 })).toMatchObject({
      phase: 'copying',
      progress: { percent: 62 },
      notes: [{ level: 'warn', text: 'a note' }],
      options: { maxDowntimeMs: 20, mode: 'auto' },
    });
    expect(handle.commands).toEqual([{ kind: 'tune', maxDowntimeMs: 20 }]);
    handle.finish({ kind: 'left', to: 'b', epoch: 2 });
    await watching;
    expect(kinds).toEqual([
      'migrationStarted',
      'migrationPhaseChanged',
      'migrationProgressed',
      'migrationNoted',
      'migrationTuned',
      'migrationEnded',
    ]);
  });

  test('the engine’s refusal of a command reaches the caller', async () => {
    await using trial = await startTrialDaemon();
    const id = await migrating(trial);
    const handle = trial.engine.outgoing[0]!;
    handle.refusal = new GodwitError('GW_MIGRATION_TOO_LATE', { vm: 'web1' });
    await expect(trial.client.cancelMigration(id)).rejects.toThrow(refusedWith('GW_MIGRATION_TOO_LATE') as Error);
    handle.finish({ kind: 'left', to: 'b', epoch: 2 });
    await settleEvents();
    await expect(trial.client.cancelMigration(id)).rejects.toThrow(refusedWith('GW_CONFLICT') as Error);
  });

  test('?wait answers at the end', async () => {
    await using trial = await startTrialDaemon();
    const waiting = trial.client.migrateAndWait('web1', { to: '127.0.0.1:9' });
    await expect.poll(() => trial.engine.outgoing.length).toBe(1);
    trial.engine.outgoing[0]!.finish({ kind: 'stays' }, { outcome: 'refused' });
    expect(await waiting).toMatchObject({ state: 'refused', report: { outcome: 'refused' } });
  });

  test('stopping the daemon cancels it, so that the VM goes on here', async () => {
    const trial = await startTrialDaemon();
    await migrating(trial);
    expect(await trial.daemon.close()).toBe(0);
    expect(trial.engine.outgoing[0]!.commands).toEqual([{ kind: 'cancel' }]);
    await trial[Symbol.asyncDispose]();
  });

  test('a wrong address and an unknown VM are refused before the engine is asked', async () => {
    await using trial = await startTrialDaemon();
    await expect(trial.client.migrate('web1', { to: 'nowhere' })).rejects.toThrow(/to: nowhere is not valid/);
    await expect(trial.client.migrate('web9', { to: '127.0.0.1:9' })).rejects.toThrow(
      refusedWith('GW_NOT_FOUND') as Error,
    );
    expect(trial.engine.outgoing).toEqual([]);
  });

  test('a check gives QMP away and takes it back', async () => {
    await using trial = await startTrialDaemon();
    expect(await trial.client.check('web1', '127.0.0.1:9')).toMatchObject({ ok: true });
    expect(await trial.client.actOnVm('web1', 'pause')).toMatchObject({ state: 'paused' });
  });
});

describe('incoming migration', () => {
  const arriving = (trial: TrialDaemon, name: string): void => {
    expect(trial.engine.offer(name)).toEqual({ kind: 'admitted', notes: [] });
    trial.engine.incoming({ id: 'in-1', vm: name, peer: 'b' });
  };

  test('a VM on its way is shown as arriving, owned by the other host, and its name is taken', async () => {
    await using trial = await startTrialDaemon();
    arriving(trial, 'db1');
    expect(await trial.client.showVm('db1')).toMatchObject({
      state: 'arriving',
      owner: 'b',
      migration: 'in-1',
      pid: null,
    });
    await expect(trial.client.createVm({ name: 'db1', memory: '64MiB' })).rejects.toThrow(
      refusedWith('GW_VM_EXISTS') as Error,
    );
    await expect(trial.client.actOnVm('db1', 'pause')).rejects.toThrow(refusedWith('GW_MIGRATION_BUSY') as Error);
    // An earlier migration of the name has not ended: whoever offers it asks again.
    expect(trial.engine.offer('db1', { migrationId: 'in-2' })).toMatchObject({ kind: 'notYet' });
  });

  test('when it has arrived it is this host’s, and may be migrated once the migration has ended', async () => {
    await using trial = await startTrialDaemon();
    arriving(trial, 'db1');
    const vm = sampleRecord({ ...trial.record, name: 'db1', epoch: 2, arrivedFrom: 'b' });
    const handle = trial.engine.arriving[0]!;
    handle.settle({ kind: 'arrived', vm });
    await expect.poll(async () => (await trial.client.showVm('db1')).owner).toBe('a');
    await expect(trial.client.migrate('db1', { to: '127.0.0.1:9' })).rejects.toThrow(
      refusedWith('GW_MIGRATION_BUSY') as Error,
    );
    handle.finish({ kind: 'arrived', vm }, { from: 'b', to: 'a' });
    await expect.poll(async () => (await trial.client.showVm('db1')).migration).toBe(null);
    expect(await trial.client.showVm('db1')).toMatchObject({ epoch: 2, arrivedFrom: 'b' });
    expect(existsSync(join(trial.state, 'vms', 'db1', 'vm.json'))).toBe(true);
  });

  test('who moves it on at once waits for the end of its arrival', async () => {
    await using trial = await startTrialDaemon();
    arriving(trial, 'db1');
    const handle = trial.engine.arriving[0]!;
    const vm = sampleRecord({ ...trial.record, name: 'db1', epoch: 2, arrivedFrom: 'b' });
    handle.emit({ kind: 'phaseChanged', phase: 'resuming', atMs: Date.now() });
    const onward = trial.client.migrate('db1', { to: '127.0.0.1:9' });
    handle.finish({ kind: 'arrived', vm }, { from: 'b', to: 'a' });
    expect(await onward).toMatchObject({ vm: 'db1', state: 'running' });
  });

  test('an id that is known is refused: it must not get a second journal', async () => {
    await using trial = await startTrialDaemon();
    arriving(trial, 'db1');
    expect(trial.engine.offer('db2')).toMatchObject({ kind: 'refused' });
    expect(trial.engine.offer('db2', { migrationId: 'in-2' })).toMatchObject({ kind: 'admitted' });
    const { id } = await trial.client.migrate('web1', { to: '127.0.0.1:9' });
    expect(trial.engine.offer('db3', { migrationId: id })).toMatchObject({
      kind: 'refused',
      reason: 'a migration with this id is known here already',
    });
    mkdirSync(join(trial.state, 'migrations', 'earlier'));
    expect(trial.engine.offer('db3', { migrationId: 'earlier' })).toMatchObject({ kind: 'refused' });
  });

  test('a second handle of one id is cancelled; the first keeps its place and the daemon lives', async () => {
    await using trial = await startTrialDaemon();
    arriving(trial, 'db1');
    trial.engine.incoming({ id: 'in-1', vm: 'db2', peer: 'b' });
    const [first, second] = trial.engine.arriving;
    expect(second!.commands).toEqual([{ kind: 'cancel' }]);
    second!.finish({ kind: 'absent' }, { outcome: 'cancelled' });
    await settleEvents();
    expect(await trial.client.showMigration('in-1')).toMatchObject({ vm: 'db1', state: 'running' });
    first!.finish({ kind: 'absent' }, { outcome: 'failed' });
    await settleEvents();
    expect(await trial.client.showMigration('in-1')).toMatchObject({ state: 'failed' });
  });

  test('one that fails leaves nothing in the list', async () => {
    await using trial = await startTrialDaemon();
    arriving(trial, 'db1');
    trial.engine.arriving[0]!.finish({ kind: 'absent' }, { outcome: 'failed' });
    await settleEvents();
    expect((await trial.client.listVms()).map(({ name }) => name)).toEqual(['web1']);
    expect(trial.engine.offer('db1', { migrationId: 'in-2' })).toMatchObject({ kind: 'admitted' });
  });

  test('is refused when the name is taken or the memory does not fit; a mere check takes no name', async () => {
    await using trial = await startTrialDaemon();
    expect(trial.engine.offer('web1')).toMatchObject({
      kind: 'refused',
      reason: 'this host already has a VM named web1',
    });
    expect(trial.engine.offer('db1', { memoryBytes: 2 ** 50 })).toMatchObject({ kind: 'refused' });
    expect(trial.engine.offer('db1', { checkOnly: true })).toMatchObject({ kind: 'admitted' });
    expect((await trial.client.listVms()).map(({ name }) => name)).toEqual(['web1']);
  });

  test('an id that is no file name is kept in memory only', async () => {
    await using trial = await startTrialDaemon();
    trial.engine.offer('db1', { migrationId: '../../x' });
    trial.engine.incoming({ id: '../../x', vm: 'db1', peer: 'b' });
    trial.engine.arriving[0]!.finish({ kind: 'absent' }, { outcome: 'failed' });
    await settleEvents();
    expect(await trial.client.listMigrations()).toMatchObject([{ id: '../../x', state: 'failed' }]);
    expect(readdirSync(join(trial.state, 'migrations'))).toEqual([]);
    expect(existsSync(join(trial.state, 'migrations', '../../x'))).toBe(false);
  });
});

describe('after a restart', () => {
  test('a migration that was cut off is settled: the VM that had left is not taken for ours', async () => {
    await using trial = await startTrialDaemon({
      prepare: (engine) => {
        const report = sampleReport({ id: 'cut', outcome: 'completed' });
        engine.settledAtStart = [{ vm: 'web1', settlement: { kind: 'left', to: 'b', epoch: 2 }, report }];
      },
    });
    expect(await trial.client.listVms()).toEqual([]);
    expect(await trial.client.showMigration('cut')).toMatchObject({ state: 'completed' });
  });

  test('a migration that had brought a VM whose record is here leaves its sockets alone', async () => {
    await using trial = await startTrialDaemon({
      prepare: (engine, state) => {
        const path = join(state, 'vms', 'web1', 'vm.json');
        const vm = JSON.parse(readFileSync(path, 'utf8')) as VmRecord;
        const report = sampleReport({ id: 'cut', from: 'b', to: 'a' });
        engine.settledAtStart = [{ vm: 'web1', settlement: { kind: 'arrived', vm: { ...vm, epoch: 2 } }, report }];
      },
    });
    expect(existsSync(trial.record.qmpPath)).toBe(true);
    expect(await trial.client.listVms()).toMatchObject([{ name: 'web1', state: 'running', epoch: 2, migration: null }]);
  });

  test('reports are read again, newest first, and only so many are kept', async () => {
    await using trial = await startTrialDaemon({
      settings: { keepReports: 2 },
      prepare: (_engine, state) => {
        const store = new MigrationStore(state, 10);
        for (const startedAt of [1, 2, 3]) store.save(sampleReport({ id: `m${startedAt}`, startedAt }));
      },
    });
    expect((await trial.client.listMigrations()).map(({ id }) => id)).toEqual(['m3', 'm2']);
    expect(readdirSync(join(trial.state, 'migrations')).sort()).toEqual(['m2', 'm3']);
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
      new RegExp(`another host daemon \\(pid ${process.pid}\\) uses the state directory`),
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

  test('a state directory that cannot be made is named', async () => {
    await using trial = await startTrialDaemon();
    const state = `${trial.record.consoleLogPath}/inside-a-file`;
    const started = startDaemon(config(state, '127.0.0.1:0'), { engine: trial.engine, log, version: '0' });
    await expect(started).rejects.toThrow(/the state directory .* cannot be written \(ENOTDIR\)/);
  });
});
