import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { sampleProgress } from '../../test/support/scripted-engine.ts';
import { refusedWith, settleEvents, startTrialDaemon, type TrialDaemon } from '../../test/support/trial-daemon.ts';
import { GodwitError } from '../base/errors.ts';
import { identifyProcess } from '../linux/process.ts';
import { DEFAULT_MIGRATION_OPTIONS } from '../migration/request.ts';
import { resolveConfig } from './config.ts';
import { startDaemon } from './daemon.ts';
import { openLogger } from './logger.ts';

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

  test.each([
    ['its files go when the migration ends', true],
    ['its files stay with a QEMU that was kept', false],
  ])('a VM that has left is in the list until the migration has ended; %s', async (_, qemuEnds) => {
    const qemu = spawn('sleep', ['60'], { stdio: 'ignore' });
    using stack = new DisposableStack();
    stack.defer(() => qemu.kill('SIGKILL'));
    await using trial = await startTrialDaemon({ identity: identifyProcess(qemu.pid!)! });
    const id = await migrating(trial);
    const handle = trial.engine.outgoing[0]!;
    handle.settle({ kind: 'left', to: 'b', epoch: 2 });
    await settleEvents();
    const leaving = { state: 'leaving', owner: 'b', epoch: 2, migration: id };
    expect(await trial.client.listVms()).toEqual([expect.objectContaining(leaving)]);
    await expect(trial.client.actOnVm('web1', 'kill')).rejects.toThrow(refusedWith('GW_MIGRATION_BUSY') as Error);
    expect(existsSync(trial.record.qmpPath)).toBe(true);
    if (qemuEnds) {
      const ended = once(qemu, 'exit');
      qemu.kill('SIGKILL');
      await ended;
    }
    handle.finish({ kind: 'left', to: 'b', epoch: 2 });
    await settleEvents();
    expect(await trial.client.listVms()).toEqual([]);
    expect(existsSync(trial.record.qmpPath)).toBe(!qemuEnds);
    expect(await trial.client.showMigration(id)).toMatchObject({
      state: 'completed',
      report: { id, outcome: 'completed' },
    });
    expect(existsSync(join(trial.state, 'vms', 'web1', 'vm.json'))).toBe(false);
  });

  test('no hook hears of a request for a VM that is leaving already', async () => {
    await using trial = await startTrialDaemon({
      prepare: (_, state) =>
        writeFileSync(join(state, 'hook'), '#!/bin/sh\necho $GODWIT_HOOK >>$(dirname $0)/hooks\n', { mode: 0o755 }),
      settingsIn: (state) => ({ hooks: { preMigrate: join(state, 'hook'), postRollback: join(state, 'hook') } }),
    });
    await migrating(trial);
    await expect(migrating(trial)).rejects.toThrow(refusedWith('GW_MIGRATION_BUSY') as Error);
    await settleEvents();
    expect(readFileSync(join(trial.state, 'hooks'), 'utf8')).toBe('preMigrate\n');
  });

  test('a request that is repeated begins nothing more, and one of a controller that leads no more nothing at all', async () => {
    await using trial = await startTrialDaemon();
    const order = { to: '127.0.0.1:9', requestId: 'r1', leader: { fleet: 'f', epoch: 1 } };
    const { id } = await trial.client.migrate('web1', order);
    expect(await trial.client.migrate('web1', order)).toMatchObject({ id, state: 'running' });
    expect(trial.engine.outgoing).toHaveLength(1);
    expect(await trial.client.listMigrations({ requestId: 'r1' })).toMatchObject([{ id }]);
    expect(await trial.client.listMigrations({ requestId: 'r2' })).toEqual([]);
    trial.engine.outgoing[0]!.finish({ kind: 'stays' }, { outcome: 'failed' });
    await settleEvents();
    expect(await trial.client.migrate('web1', order)).toMatchObject({ id, state: 'failed' });
    expect(await trial.client.acknowledgeLeader({ fleet: 'f', epoch: 2 })).toEqual({ fleet: 'f', epoch: 2 });
    const late = trial.client.migrate('web1', { ...order, requestId: 'r2' });
    await expect(late).rejects.toThrow(refusedWith('GW_ORDER_OUTDATED') as Error);
    expect(trial.engine.outgoing).toHaveLength(1);
    // It is known by its own id, and no engine hears of it.
    expect(trial.engine.inputs[0]!.options).not.toHaveProperty('requestId');
    await expect(trial.client.migrate('web1', { to: 'x:1', requestId: 'a b' })).rejects.toThrow('requestId: "a b"');
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

  test('the beginning of an id will do', async () => {
    await using trial = await startTrialDaemon();
    const id = await migrating(trial);
    expect(await trial.client.showMigration(id.slice(0, 8))).toMatchObject({ id, state: 'running' });
    await trial.client.tuneMigration(id.slice(0, 8), { maxDowntimeMs: 20 });
    await trial.client.cancelMigration(id.slice(0, 8));
    expect(trial.engine.outgoing[0]!.commands).toMatchObject([{ kind: 'tune' }, { kind: 'cancel' }]);
    trial.engine.outgoing[0]!.finish({ kind: 'stays' }, { outcome: 'cancelled' });
    await settleEvents();
    expect(await trial.client.showMigration(id.slice(0, 8))).toMatchObject({ id, state: 'cancelled' });
    const watched: string[] = [];
    for await (const event of trial.client.watchMigration(id.slice(0, 8))) watched.push(event.kind);
    expect(watched).toEqual(['migrationEnded']);
  });

  test('of a VM that has moved one is told where it is', async () => {
    await using trial = await startTrialDaemon();
    const id = await migrating(trial);
    trial.engine.outgoing[0]!.finish({ kind: 'left', to: 'b', epoch: 2 });
    await settleEvents();
    await expect(trial.client.showVm('web1')).rejects.toThrow(
      `VM web1 is not on this host any more: migration ${id} moved it to b`,
    );
    await expect(trial.client.migrate('web1', { to: '127.0.0.1:9' })).rejects.toThrow(
      refusedWith('GW_VM_MOVED') as Error,
    );
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

  test('a daemon that is stopping begins nothing more, and waits for what it cannot cancel', async () => {
    const trial = await startTrialDaemon();
    const id = await migrating(trial);
    const handle = trial.engine.outgoing[0]!;
    handle.refusal = new GodwitError('GW_MIGRATION_TOO_LATE', { vm: 'web1' });
    const closed = trial.daemon.close();
    const stopping = refusedWith('GW_HOST_STOPPING') as Error;
    await expect(trial.client.migrate('web1', { to: '127.0.0.1:9' })).rejects.toThrow(stopping);
    expect(await trial.client.showMigration(id)).toMatchObject({ state: 'running' });
    handle.finish({ kind: 'left', to: 'b', epoch: 2 });
    expect(await closed).toBe(0);
    expect(trial.engine.outgoing).toHaveLength(1);
    await trial[Symbol.asyncDispose]();
  });

  test.each([
    ['a migration that goes on', false],
    ['a thread that goes on when the end has been told', true],
  ])('%s is left after a while, and keeps the state directory from another daemon', async (_what, hasEnded) => {
    await using trial = await startTrialDaemon();
    await migrating(trial);
    const handle = trial.engine.outgoing[0]!;
    handle.refusal = new GodwitError('GW_MIGRATION_TOO_LATE', { vm: 'web1' });
    handle.lingers = true;
    if (hasEnded) handle.finish({ kind: 'stays' }, { outcome: 'failed' });
    await settleEvents();
    expect(await trial.daemon.close(50)).toBe(hasEnded ? 0 : 1);
    const config = { name: 'a', listen: '127.0.0.1:0', migrationListen: '127.0.0.1:0', state: trial.state };
    const log = openLogger({ level: 'silent', format: 'json', name: 'a' });
    const parts = { engine: trial.engine, log, version: '0' };
    await expect(startDaemon(resolveConfig(config, { terminal: false }), parts)).rejects.toThrow(
      /uses the state directory/,
    );
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
