import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { sampleRecord } from '../../test/support/scripted-engine.ts';
import { startTrialDaemon } from '../../test/support/trial-daemon.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import { identifyProcess } from '../linux/process.ts';
import { UnsavedVms } from './unsaved-vms.ts';
import type { StoredVm } from './vm-store.ts';
import { VmStore } from './vm-store.ts';

const QUIET = { error: () => undefined, info: () => undefined };

/** A record that cannot be written, as on a full disk; dispose of it for one that can. */
function obstruct(state: string, vm: string): Disposable {
  const path = `${recordOf(state, vm)}.new`;
  mkdirSync(path, { recursive: true });
  return { [Symbol.dispose]: () => rmdirSync(path) };
}

function recordOf(state: string, vm: string): string {
  return join(state, 'vms', vm, 'vm.json');
}

function readEnd(state: string): unknown {
  return (JSON.parse(readFileSync(recordOf(state, 'web1'), 'utf8')) as StoredVm).ended;
}

describe('a disk that is full', () => {
  test('does not keep a VM from arriving, and its record is written when it can be', async () => {
    await using trial = await startTrialDaemon();
    {
      using _full = obstruct(trial.state, 'db1');
      trial.engine.incoming({ id: 'in-1', vm: 'db1', peer: 'b' });
      const vm = sampleRecord({ ...trial.record, name: 'db1', epoch: 2, arrivedFrom: 'b' });
      trial.engine.arriving[0]!.finish({ kind: 'arrived', vm }, { from: 'b', to: 'a' });
      await expect.poll(async () => (await trial.client.showMigration('in-1')).state).toBe('completed');
      expect(await trial.client.showVm('db1')).toMatchObject({ state: 'running', owner: 'a', migration: null });
      expect(existsSync(recordOf(trial.state, 'db1'))).toBe(false);
    }
    await waitUntil('the record is written', () => existsSync(recordOf(trial.state, 'db1')));
    const { vms } = new VmStore(trial.state).loadAll();
    expect(vms.map(({ record }) => [record.name, record.epoch])).toContainEqual(['db1', 2]);
  });

  test('does not end the daemon when a guest ends', async () => {
    const qemu = spawn('sleep', ['60'], { stdio: 'ignore' });
    await using trial = await startTrialDaemon({ identity: identifyProcess(qemu.pid!)! });
    using _full = obstruct(trial.state, 'web1');
    qemu.kill('SIGKILL');
    await expect.poll(async () => (await trial.client.showVm('web1')).state).toBe('crashed');
    expect(readEnd(trial.state)).toBeNull();
  });

  test('does not keep a daemon from starting whose VM has ended meanwhile', async () => {
    let full: Disposable | undefined;
    const gone = { ...identifyProcess(process.pid)!, startTicks: 1 };
    await using trial = await startTrialDaemon({
      identity: gone,
      prepare: (engine, state) =>
        Object.assign(engine, {
          // It is full when the daemon has read what there is.
          recoverMigrations: async () => {
            full = obstruct(state, 'web1');
            return { handles: [], damaged: [] };
          },
        }),
    });
    expect(await trial.client.showVm('web1')).toMatchObject({ state: 'crashed', ended: { how: 'lost' } });
    expect(readEnd(trial.state)).toBeNull();
    full![Symbol.dispose]();
    await trial.daemon.close();
    expect(readEnd(trial.state)).toMatchObject({ how: 'lost' });
  });
});

describe('records that could not be saved', () => {
  const stored = (name: string, epoch: number): StoredVm => ({
    record: sampleRecord({ name, epoch }),
    spec: null,
    notes: [],
    ended: null,
  });

  test('are tried again with the next one: the latest of each VM, and none of one that has gone', () => {
    const saved: [string, number][] = [];
    let isFull = true;
    const store = {
      save: ({ record }: StoredVm) => {
        if (isFull) throw new Error('ENOSPC');
        saved.push([record.name, record.epoch]);
      },
    };
    using unsaved = new UnsavedVms(store, QUIET);
    for (const vm of [stored('a', 1), stored('a', 2), stored('b', 1)]) unsaved.save(vm);
    unsaved.forget('b');
    isFull = false;
    unsaved.save(stored('c', 1));
    expect(saved).toEqual([
      ['a', 2],
      ['c', 1],
    ]);
  });

  test('are followed by what waits for them: once they are saved, or their VM has gone', () => {
    let isFull = true;
    const save = (): void => {
      if (isFull) throw new Error('ENOSPC');
    };
    using unsaved = new UnsavedVms({ save }, QUIET);
    const done: string[] = [];
    unsaved.save(stored('a', 1), () => done.push('a'));
    unsaved.save(stored('a', 2));
    unsaved.save(stored('b', 1), () => done.push('b'));
    expect([done, unsaved.isOwing('a'), unsaved.isOwing('b')]).toEqual([[], true, true]);
    unsaved.forget('b');
    expect([done, unsaved.isOwing('b')]).toEqual([['b'], false]);
    isFull = false;
    unsaved.save(stored('c', 1));
    expect([done, unsaved.isOwing('a')]).toEqual([['b', 'a'], false]);
  });

  test('are saved once more when what waits for them fails', () => {
    const saved: number[] = [];
    using unsaved = new UnsavedVms({ save: ({ record }) => saved.push(record.epoch) }, QUIET);
    let tries = 0;
    unsaved.save(stored('a', 1), () => {
      if (++tries === 1) throw new Error('EIO');
    });
    expect(unsaved.isOwing('a')).toBe(true);
    unsaved.save(stored('b', 7));
    expect([unsaved.isOwing('a'), saved, tries]).toEqual([false, [1, 1, 7], 2]);
  });
});
