import { spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ScriptedHandle, sampleRecord, sampleReport } from '../../test/support/scripted-engine.ts';
import { refusedWith, settleEvents, startTrialDaemon, type TrialDaemon } from '../../test/support/trial-daemon.ts';
import { GodwitError } from '../base/errors.ts';
import { identifyProcess } from '../linux/process.ts';
import { journalPath } from '../migration/journal.ts';
import { MigrationStore } from './migration-store.ts';
import { VmStore } from './vm-store.ts';

const DAMAGE = new GodwitError('GW_JOURNAL_CORRUPT', { path: '/x/outgoing.journal', offset: 9, reason: 'torn' });
const INPUT = {
  id: 'm1',
  vm: { name: 'web1', memoryBytes: 2 ** 29 },
  to: 'b',
  hostName: 'a',
  options: { mode: 'auto' },
} as const;

/** A daemon that finds a journal that it cannot read. */
function startDamaged(vm: string | null, before: (store: MigrationStore, state: string) => void = () => undefined) {
  return startTrialDaemon({
    prepare: (engine, state) => {
      before(new MigrationStore(state, 10), state);
      engine.damagedAtStart = [{ id: 'm1', vm, coming: null, error: DAMAGE }];
    },
  });
}

async function isWithheld({ client, qmp, engine }: TrialDaemon): Promise<void> {
  expect(await client.showVm('web1')).toMatchObject({ state: 'unknown', notes: [DAMAGE.message] });
  expect(qmp.connections).toBe(0);
  const refused = refusedWith('GW_CONFLICT') as Error;
  for (const action of ['pause', 'resume', 'kill'] as const) {
    await expect(client.actOnVm('web1', action)).rejects.toThrow(refused);
  }
  await expect(client.migrate('web1', { to: '127.0.0.1:9' })).rejects.toThrow(refused);
  await expect(client.removeVm('web1')).rejects.toThrow(refused);
  expect(engine.outgoing.filter(({ commands }) => commands.length > 0)).toEqual([]);
}

describe('a journal that cannot be read', () => {
  test('withholds its VM, with the reason and what to do, and the daemon starts', async () => {
    await using trial = await startDamaged('web1');
    await isWithheld(trial);
  });

  test('withholds the VM that the migration was begun with where not even that can be read', async () => {
    await using trial = await startDamaged(null, (store, state) => {
      store.begin(INPUT);
      writeFileSync(journalPath(state, INPUT.id, 'outgoing'), '00000000 {}\n00000000 {}\n');
    });
    await isWithheld(trial);
  });

  test.each([null, 'another'])('of VM %s withholds no other', async (vm) => {
    await using trial = await startDamaged(vm);
    expect(await trial.client.showVm('web1')).toMatchObject({ state: 'running', notes: [] });
  });

  test('withholds nothing where a report says how it ended, unless the report was made of the damage', async () => {
    await using told = await startDamaged('web1', (store) => store.save(sampleReport({ owner: 'a' })));
    expect(await told.client.showVm('web1')).toMatchObject({ state: 'running' });
    const undecided = sampleReport({ outcome: 'failed', error: DAMAGE.toBody() });
    await using untold = await startDamaged('web1', (store) => store.save(undecided));
    await isWithheld(untold);
  });

  test('of an earlier migration does not withhold the VM from a later one that has it', async () => {
    const handle = new ScriptedHandle({ id: 'm2', vm: 'web1', direction: 'outgoing', peer: 'b' });
    await using trial = await startTrialDaemon({
      prepare: (engine) => {
        engine.handlesAtStart = [handle];
        engine.damagedAtStart = [{ id: 'm1', vm: 'web1', coming: null, error: DAMAGE }];
      },
    });
    expect(await trial.client.showVm('web1')).toMatchObject({ state: 'leaving', migration: 'm2' });
    handle.finish({ kind: 'stays' });
    await settleEvents();
    expect(await trial.client.showVm('web1')).toMatchObject({ state: 'running', migration: null });
  });

  test.each([
    [process.pid, ['web1', 'web2']],
    [1, ['web1']], // an earlier process: its start time is another
  ])('of a VM that was coming keeps its name while its QEMU (here %i) lives', async (pid, names) => {
    const qemu = { pid, startTicks: identifyProcess(process.pid)!.startTicks };
    const coming = { id: 'm1', vm: 'web2', uuid: 'u', epoch: 2, peer: 'b', ramBytes: 2 ** 20, qemu };
    await using trial = await startTrialDaemon({
      prepare: (engine) => {
        engine.damagedAtStart = [{ id: 'm1', vm: 'web2', coming, error: DAMAGE }];
      },
    });
    expect((await trial.client.listVms()).map(({ name }) => name)).toEqual(names);
    if (names.length === 1) return;
    expect(await trial.client.showVm('web2')).toMatchObject({ state: 'arriving', pid });
    await expect(trial.client.actOnVm('web2', 'kill')).rejects.toThrow(refusedWith('GW_MIGRATION_BUSY') as Error);
  });

  test('ends the migration of a daemon that runs, and withholds the VM', async () => {
    await using trial = await startTrialDaemon();
    const { id } = await trial.client.migrate('web1', { to: '127.0.0.1:9' });
    const settlement = { kind: 'undecided', reason: DAMAGE.message } as const;
    trial.engine.outgoing[0]!.finish(settlement, { outcome: 'failed', error: DAMAGE.toBody() });
    await expect.poll(async () => (await trial.client.showMigration(id)).state).toBe('failed');
    await isWithheld(trial);
  });
});

test('a VM that is still coming has its name', async () => {
  const handle = new ScriptedHandle({ id: 'm2', vm: 'web2', direction: 'incoming', peer: 'b', qemu: null });
  await using trial = await startTrialDaemon({
    prepare: (engine) => {
      engine.handlesAtStart = [handle];
    },
  });
  expect(await trial.client.showVm('web2')).toMatchObject({ state: 'arriving', migration: 'm2', owner: 'b' });
  handle.finish({ kind: 'absent' });
  await expect.poll(async () => (await trial.client.listVms()).map(({ name }) => name)).toEqual(['web1']);
});

test('a VM that is still coming is seen instead of one of its name that has ended, and nothing of it is removed', async () => {
  const handle = new ScriptedHandle({ id: 'm2', vm: 'web1', direction: 'incoming', peer: 'b' });
  await using trial = await startTrialDaemon({
    prepare: (engine, state) => {
      engine.handlesAtStart = [handle];
      const record = sampleRecord({ qmpPath: join(state, 'vms/web1/before/qmp.sock') });
      const ended = { atMs: 1, how: 'killed', reason: 'ended by kill' } as const;
      new VmStore(state).save({ record, spec: null, notes: [], ended });
    },
  });
  const { client, record } = trial;
  expect((await client.listVms()).map(({ state }) => state)).toEqual(['arriving']);
  expect((await client.showVm('web1')).state).toBe('arriving');
  await expect(client.removeVm('web1')).rejects.toThrow(refusedWith('GW_MIGRATION_BUSY') as Error);
  expect(existsSync(record.qmpPath)).toBe(true);
  handle.finish({ kind: 'absent' });
  await expect.poll(async () => (await client.listVms()).map(({ state }) => state)).toEqual(['stopped']);
  await client.removeVm('web1');
});

describe('a VM that had arrived when the daemon stopped, of which the migration goes on', () => {
  const startRecovered = async (): Promise<TrialDaemon & { readonly handle: ScriptedHandle }> => {
    const handle = new ScriptedHandle({ id: 'm2', vm: 'web1', direction: 'incoming', peer: 'b' });
    const trial = await startTrialDaemon({
      prepare: (engine) => {
        engine.handlesAtStart = [handle];
      },
    });
    return { ...trial, handle };
  };

  test('is the migration’s until that says that it runs; who wants to do something waits so long', async () => {
    await using trial = await startRecovered();
    const { client, qmp, record, handle } = trial;
    expect(await client.showVm('web1')).toMatchObject({ migration: 'm2' });
    const paused = client.actOnVm('web1', 'pause');
    await settleEvents();
    expect(qmp.connections).toBe(0);
    handle.finish({ kind: 'arrived', vm: record });
    await paused;
    expect(qmp.connections).toBe(1);
    await expect.poll(async () => (await client.showVm('web1')).migration).toBeNull();
  });

  test('may be killed all the same: its QEMU may wait for a page that nobody brings', async () => {
    using stack = new DisposableStack();
    const qemu = spawn('sleep', ['60'], { stdio: 'ignore' });
    stack.defer(() => qemu.kill('SIGKILL'));
    const identity = identifyProcess(qemu.pid!)!;
    const handle = new ScriptedHandle({ id: 'm2', vm: 'web1', direction: 'incoming', peer: 'b', qemu: identity });
    await using trial = await startTrialDaemon({
      identity,
      prepare: (engine) => {
        engine.handlesAtStart = [handle];
      },
    });
    handle.emit({ kind: 'phaseChanged', phase: 'receiving', atMs: Date.now() });
    expect(await trial.client.actOnVm('web1', 'kill')).toMatchObject({ state: 'stopped' });
    // It had said so before it saw the end.
    handle.finish({ kind: 'arrived', vm: trial.record });
    await expect.poll(async () => (await trial.client.showMigration('m2')).state).not.toBe('running');
    expect(await trial.client.showVm('web1')).toMatchObject({ state: 'stopped', ended: { how: 'killed' } });
  }, 20_000);

  test('is nobody’s but the host’s when it was lost', async () => {
    await using trial = await startRecovered();
    trial.handle.finish({ kind: 'absent' });
    await expect.poll(async () => (await trial.client.showVm('web1')).migration).toBeNull();
    expect(trial.qmp.connections).toBe(1);
  });

  test('does not take the place of a living one that has its name', async () => {
    const qemu = { pid: 1, startTicks: 0 };
    const handle = new ScriptedHandle({ id: 'm2', vm: 'web1', direction: 'incoming', peer: 'b', qemu });
    await using trial = await startTrialDaemon({
      prepare: (engine) => {
        engine.handlesAtStart = [handle];
      },
    });
    handle.finish({ kind: 'arrived', vm: { ...trial.record, ...qemu, qmpPath: '/nowhere/qmp.sock' } });
    await expect.poll(async () => (await trial.client.showMigration('m2')).state).not.toBe('running');
    expect(await trial.client.showVm('web1')).toMatchObject({ state: 'running', pid: process.pid });
    expect(existsSync(trial.record.qmpPath)).toBe(true);
  });

  test.each([
    'incoming',
    'outgoing',
  ] as const)('%s, and was replaced since: the new one of its name is its user’s', async (direction) => {
    const qemu = { pid: 1, startTicks: 0 };
    const handle = new ScriptedHandle({ id: 'm2', vm: 'web1', direction, peer: 'b', qemu });
    await using trial = await startTrialDaemon({
      prepare: (engine) => {
        engine.handlesAtStart = [handle];
      },
    });
    const { client, qmp } = trial;
    expect([(await client.showVm('web1')).migration, qmp.connections]).toEqual([null, 1]);
    const { id } = await client.migrate('web1', { to: '127.0.0.1:9' });
    handle.finish(direction === 'incoming' ? { kind: 'absent' } : { kind: 'left', to: 'b', epoch: 2 });
    await expect.poll(async () => (await client.showMigration('m2')).state).not.toBe('running');
    expect(await client.showVm('web1')).toMatchObject({ state: 'leaving', migration: id });
  });
});
