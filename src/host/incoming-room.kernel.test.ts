import { readFileSync, statfsSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { ScriptedHandle, sampleRecord } from '../../test/support/scripted-engine.ts';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { refusedWith, settleEvents, startTrialDaemon, type TrialDaemon } from '../../test/support/trial-daemon.ts';
import { FakeClock } from '../base/clock.ts';
import { GodwitError } from '../base/errors.ts';
import type { IncomingPolicy } from '../migration/handle.ts';
import { NO_CONTENTS } from '../migration/held-contents.ts';
import { IncomingGroups } from './incoming-groups.ts';
import { createPolicy } from './incoming-policy.ts';
import { BEGINS_WITHIN_MS, IncomingPromises } from './incoming-promises.ts';
import { openLogger } from './logger.ts';
import { VmRegistry } from './vm-registry.ts';

const MIB = 2 ** 20;

/** One such VM fits, a second one does not. */
function largeBytes(): number {
  const { bavail, bsize } = statfsSync('/dev/shm');
  const kilobytes = Number(/^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8'))![1]);
  return Math.floor((0.6 * Math.min(bavail * bsize, kilobytes * 1024)) / MIB) * MIB;
}

const WAITS = { kind: 'notYet', reason: expect.stringMatching(/^Not enough .* for VMs on their way here\) on host a/) };

describe('two VMs of which only one fits', () => {
  /** The first is on its way. */
  function first(trial: TrialDaemon): { handle: ScriptedHandle; memoryBytes: number } {
    const memoryBytes = largeBytes();
    expect(trial.engine.offer('one', { memoryBytes })).toEqual({ kind: 'admitted' });
    trial.engine.incoming({ id: 'in-1', vm: 'one', peer: 'b', ramBytes: memoryBytes });
    return { handle: trial.engine.arriving[0]!, memoryBytes };
  }

  test('are not both admitted, also when the first has not begun yet', async () => {
    await using trial = await startTrialDaemon();
    const memoryBytes = largeBytes();
    expect(trial.engine.offer('one', { memoryBytes })).toEqual({ kind: 'admitted' });
    expect(trial.engine.offer('two', { memoryBytes, migrationId: 'in-2' })).toEqual(WAITS);
    trial.engine.incoming({ id: 'in-1', vm: 'one', peer: 'b', ramBytes: memoryBytes });
    expect(trial.engine.offer('two', { memoryBytes, migrationId: 'in-2' })).toEqual(WAITS);
  });

  test('a check has to wait as its migration would, and a small one need not', async () => {
    await using trial = await startTrialDaemon();
    const { memoryBytes } = first(trial);
    expect(trial.engine.offer('two', { memoryBytes, migrationId: 'in-2', checkOnly: true })).toEqual(WAITS);
    expect(trial.engine.offer('two', { migrationId: 'in-2' })).toMatchObject({ kind: 'admitted' });
  });

  test('nor is one created here in the room of the other', async () => {
    await using trial = await startTrialDaemon();
    const { memoryBytes } = first(trial);
    await expect(trial.client.createVm({ name: 'two', memory: memoryBytes })).rejects.toThrow(
      refusedWith('GW_SYS_NO_ROOM') as Error,
    );
  });

  test('the room is kept until the last page is here, and given back then', async () => {
    await using trial = await startTrialDaemon();
    const { handle, memoryBytes } = first(trial);
    const vm = sampleRecord({ ...trial.record, name: 'one', epoch: 2, arrivedFrom: 'b' });
    handle.settle({ kind: 'arrived', vm });
    await settleEvents();
    expect(trial.engine.offer('two', { memoryBytes, migrationId: 'in-2' })).toEqual(WAITS);
    handle.finish({ kind: 'arrived', vm });
    await settleEvents();
    expect(trial.engine.offer('two', { memoryBytes, migrationId: 'in-2' })).toMatchObject({ kind: 'admitted' });
  });

  test.each([
    'failed',
    'cancelled',
    'refused',
  ] as const)('the room is given back when the first has %s', async (outcome) => {
    await using trial = await startTrialDaemon();
    const { handle, memoryBytes } = first(trial);
    handle.finish({ kind: 'absent' }, { outcome });
    await settleEvents();
    expect(trial.engine.offer('two', { memoryBytes, migrationId: 'in-2' })).toMatchObject({ kind: 'admitted' });
  });

  test('a restart forgets nothing that was promised to a VM that still comes', async () => {
    const memoryBytes = largeBytes();
    const facts = { vm: 'one', direction: 'incoming', peer: 'b', ramBytes: memoryBytes } as const;
    await using trial = await startTrialDaemon({
      prepare: (engine) => {
        engine.handlesAtStart = [
          new ScriptedHandle({ id: 'comes', ...facts }),
          new ScriptedHandle({ id: 'owes', hasVm: false, ...facts, ramBytes: 2 ** 50 }),
        ];
      },
    });
    expect(trial.engine.offer('two', { memoryBytes, migrationId: 'in-2' })).toEqual(WAITS);
    trial.engine.handlesAtStart[0]!.finish({ kind: 'absent' }, { outcome: 'failed' });
    await settleEvents();
    expect(trial.engine.offer('two', { memoryBytes, migrationId: 'in-2' })).toMatchObject({ kind: 'admitted' });
  });
});

test('more VMs at once than the configuration allows have to wait', async () => {
  await using trial = await startTrialDaemon({ settings: { maxIncomingMigrations: 1 } });
  expect(trial.engine.offer('one')).toMatchObject({ kind: 'admitted' });
  trial.engine.incoming({ id: 'in-1', vm: 'one', peer: 'b' });
  const reason = 'as many VMs are on their way here as maxIncomingMigrations allows (1)';
  expect(trial.engine.offer('two', { migrationId: 'in-2' })).toEqual({ kind: 'notYet', reason });
  expect(trial.engine.offer('two', { migrationId: 'in-2', checkOnly: true })).toEqual({ kind: 'notYet', reason });
  trial.engine.arriving[0]!.finish({ kind: 'absent' }, { outcome: 'failed' });
  await settleEvents();
  expect(trial.engine.offer('two', { migrationId: 'in-2' })).toMatchObject({ kind: 'admitted' });
});

test('a check has its place and room until it is over, and its VM waits for that', async () => {
  await using trial = await startTrialDaemon({ settings: { maxIncomingMigrations: 2 } });
  const memoryBytes = largeBytes();
  expect(trial.engine.offer('one', { memoryBytes, checkOnly: true })).toEqual({ kind: 'admitted' });
  expect(trial.engine.offer('one', { migrationId: 'in-2' })).toEqual({
    kind: 'notYet',
    reason: 'a check of one is being made here',
  });
  expect(trial.engine.offer('two', { memoryBytes, migrationId: 'in-2' })).toEqual(WAITS);
  expect(trial.engine.offer('two', { migrationId: 'in-2' })).toEqual({ kind: 'admitted' });
  expect(trial.engine.offer('three', { migrationId: 'in-3' })).toMatchObject({ kind: 'notYet' });
  trial.engine.policy!.onChecked('in-1');
  expect(trial.engine.offer('one', { memoryBytes })).toEqual({ kind: 'admitted' });
});

test('of a migration that was admitted and never began nothing is left: neither name, nor room, nor id', () => {
  using directory = new TempDirectory();
  const clock = new FakeClock();
  const promises = new IncomingPromises(clock);
  const log = openLogger({ level: 'silent', format: 'json', name: 'a' });
  const place = { hostName: 'a', stateDirectory: directory.path, promises };
  const absenceOf = (name: string) => new GodwitError('GW_NOT_FOUND', { kind: 'VM', name });
  const registry = new VmRegistry({
    ...place,
    fleetKey: null,
    log,
    changed: () => undefined,
    removed: () => undefined,
    absenceOf,
  });
  const groups = new IncomingGroups({ ...place, registry, log, startRegion: () => expect.unreachable() });
  const policy = createPolicy(
    { ...place, registry, groups, maxIncomingMigrations: 8, allowedNetworkScripts: [], contents: NO_CONTENTS },
    { isRunning: () => false, track: () => undefined, isClosing: () => false },
  );
  const memoryBytes = largeBytes();
  const offer = {
    vm: 'one',
    uuid: 'u',
    epoch: 2,
    memoryBytes,
    macs: [],
    from: 'b',
    checkOnly: false,
    migrationId: 'in-1',
  };
  const admit = (migrationId: string): ReturnType<IncomingPolicy['admit']>['kind'] =>
    policy.admit({ ...offer, migrationId }).kind;
  expect([admit('in-1'), admit('in-1'), admit('in-2')]).toEqual(['admitted', 'refused', 'notYet']);
  clock.advance(BEGINS_WITHIN_MS);
  expect(admit('in-1')).toBe('admitted');
});
