import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ScriptedHandle, sampleRecord, sampleReport } from '../../test/support/scripted-engine.ts';
import { refusedWith, settleEvents, startTrialDaemon, type TrialDaemon } from '../../test/support/trial-daemon.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import type { VmRecord } from '../migration/vm-record.ts';
import { MigrationStore } from './migration-store.ts';

describe('incoming migration', () => {
  const arriving = (trial: TrialDaemon, name: string): void => {
    expect(trial.engine.offer(name)).toEqual({ kind: 'admitted' });
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
    trial.engine.arriving[0]!.emit({ kind: 'qemuStarted', qemu: { pid: 7, startTicks: 1 } });
    expect(await trial.client.showVm('db1')).toMatchObject({ state: 'arriving', pid: 7 });
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
    expect(trial.engine.offer('web1', { migrationId: id })).toMatchObject({
      kind: 'refused',
      reason: 'it is the host that the VM is on',
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
    const id = `../../godwit-test-no-name-${process.pid}`;
    trial.engine.offer('db1', { migrationId: id });
    trial.engine.incoming({ id, vm: 'db1', peer: 'b' });
    trial.engine.arriving[0]!.finish({ kind: 'absent' }, { outcome: 'failed' });
    await settleEvents();
    expect(await trial.client.listMigrations()).toMatchObject([{ id, state: 'failed' }]);
    expect(readdirSync(join(trial.state, 'migrations'))).toEqual([]);
    expect(existsSync(join(trial.state, 'migrations', id))).toBe(false);
  });
});

describe('after a restart', () => {
  test('a migration that was cut off is settled: the VM that had left is not taken for ours', async () => {
    await using trial = await startTrialDaemon({
      prepare: (engine) => {
        const handle = new ScriptedHandle({ id: 'cut', vm: 'web1', direction: 'outgoing', peer: 'b' });
        engine.handlesAtStart = [handle];
        handle.finish({ kind: 'left', to: 'b', epoch: 2 });
      },
    });
    await settleEvents();
    expect(await trial.client.listVms()).toEqual([]);
    expect(await trial.client.showMigration('cut')).toMatchObject({ state: 'completed' });
  });

  test('a migration that only owes the other host a word has no say over the VM', async () => {
    await using trial = await startTrialDaemon({
      prepare: (engine) => {
        const facts = { vm: 'web1', direction: 'outgoing', peer: 'b' } as const;
        const owing = new ScriptedHandle({ id: 'owing', hasVm: false, ...facts });
        engine.handlesAtStart = [owing, new ScriptedHandle({ id: 'later', ...facts })];
        owing.finish({ kind: 'left', to: 'b', epoch: 2 }, { outcome: 'failed' });
      },
    });
    await settleEvents();
    expect(await trial.client.showMigration('owing')).toMatchObject({ state: 'failed' });
    expect(await trial.client.listVms()).toMatchObject([{ name: 'web1', state: 'leaving', migration: 'later' }]);
  });

  test('the end of a migration is told once, also when it goes on owing a word', async () => {
    await using trial = await startTrialDaemon({
      prepare: (engine, state) => {
        new MigrationStore(state, 10).save(sampleReport({ id: 'owing', outcome: 'cancelled', wireBytes: 4711 }));
        engine.handlesAtStart = [
          new ScriptedHandle({ id: 'owing', hasVm: false, vm: 'web1', direction: 'outgoing', peer: 'b' }),
        ];
      },
    });
    expect(await trial.client.showMigration('owing')).toMatchObject({
      state: 'cancelled',
      report: { wireBytes: 4711 },
    });
  });

  test('a migration that had brought a VM whose record is here leaves its sockets alone', async () => {
    await using trial = await startTrialDaemon({
      prepare: (engine, state) => {
        const path = join(state, 'vms', 'web1', 'vm.json');
        const vm = JSON.parse(readFileSync(path, 'utf8')) as VmRecord;
        const handle = new ScriptedHandle({ id: 'cut', vm: 'web1', direction: 'incoming', peer: 'b' });
        engine.handlesAtStart = [handle];
        handle.finish({ kind: 'arrived', vm: { ...vm, epoch: 2 } });
      },
    });
    await waitUntil('the migration has ended', async () => {
      return (await trial.client.showMigration('cut')).state !== 'running';
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
