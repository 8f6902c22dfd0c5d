import { writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { sampleRecord } from '../../test/support/scripted-engine.ts';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { startTrialDaemon, type TrialDaemon } from '../../test/support/trial-daemon.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import { KnownEpochs } from './known-epochs.ts';
import { openLogger } from './logger.ts';

const UUID = '7b3e6d0a-0000-4000-8000-000000000001';
const CREATED_AT = 1_700_000_000_000;
const LOG = openLogger({ level: 'silent', format: 'json', name: 'a' });

/** What the host says when the VM is offered. */
function offer({ engine }: TrialDaemon, epoch: number, changes: { uuid?: string; createdAt?: number } = {}) {
  engine.policy!.onChecked('asked');
  return engine.policy!.admit({
    migrationId: 'asked',
    vm: 'db1',
    uuid: UUID,
    epoch,
    createdAt: CREATED_AT,
    memoryBytes: 2 ** 20,
    macs: [],
    from: 'b',
    checkOnly: true,
    ...changes,
  });
}

/** The VM comes with this epoch and is settled here. */
async function arrive(trial: TrialDaemon, epoch: number): Promise<void> {
  trial.engine.incoming({ id: 'in-1', vm: 'db1', peer: 'b' });
  const handle = trial.engine.arriving[0]!;
  const vm = sampleRecord({ ...trial.record, name: 'db1', uuid: UUID, epoch, createdAt: CREATED_AT });
  handle.finish({ kind: 'arrived', vm });
  await waitUntil('the VM is here', async () => {
    return (await trial.client.listVms()).some(({ name, migration }) => name === 'db1' && migration === null);
  });
}

async function leave(trial: TrialDaemon, epoch: number): Promise<void> {
  await trial.client.migrate('db1', { to: '127.0.0.1:9' });
  trial.engine.outgoing[0]!.finish({ kind: 'left', to: 'b', epoch });
  await waitUntil('the VM has left', async () => {
    return (await trial.client.listVms()).every(({ name }) => name !== 'db1');
  });
}

describe('a VM that was here', () => {
  test('comes back with a higher epoch only', async () => {
    await using trial = await startTrialDaemon();
    await arrive(trial, 4);
    await leave(trial, 5);
    for (const epoch of [4, 5]) {
      expect(offer(trial, epoch)).toEqual({
        kind: 'refused',
        reason: expect.stringMatching(new RegExp(`outdated copy.* epoch ${epoch}, and epoch 5 is known here`)),
      });
    }
    expect(offer(trial, 6)).toMatchObject({ kind: 'admitted' });
  });

  test('is not taken for another one of its name, or for one that was adopted anew', async () => {
    await using trial = await startTrialDaemon();
    await arrive(trial, 4);
    await leave(trial, 5);
    expect(offer(trial, 2, { uuid: UUID.replace('7b', '8c') })).toMatchObject({ kind: 'admitted' });
    expect(offer(trial, 2, { createdAt: CREATED_AT + 1 })).toMatchObject({ kind: 'admitted' });
    expect(offer(trial, 2, { createdAt: CREATED_AT - 1 })).toMatchObject({ kind: 'refused' });
    expect(offer(trial, 99, { createdAt: CREATED_AT - 1 })).toMatchObject({ kind: 'refused' });
  });

  test('is known from its arrival on', async () => {
    await using trial = await startTrialDaemon();
    await arrive(trial, 4);
    expect(new KnownEpochs(trial.state, LOG).refusalFor({ uuid: UUID, epoch: 4 })).toMatch(/outdated/);
  });
});

describe('known epochs', () => {
  test('outlive the daemon and never go back', () => {
    using directory = new TempDirectory();
    const vm = { uuid: UUID, createdAt: CREATED_AT };
    const before = new KnownEpochs(directory.path, LOG);
    before.note(vm, 5);
    before.note(vm, 3);
    const after = new KnownEpochs(directory.path, LOG);
    expect(after.refusalFor({ uuid: UUID, epoch: 5 })).toMatch(/epoch 5 is known/);
    expect(after.refusalFor({ uuid: UUID, epoch: 6 })).toBeUndefined();
  });

  test('of a VM whose UUID is no file name are not kept', () => {
    using directory = new TempDirectory();
    const epochs = new KnownEpochs(directory.path, LOG);
    epochs.note({ uuid: '../../x', createdAt: CREATED_AT }, 5);
    expect(epochs.refusalFor({ uuid: '../../x', epoch: 1 })).toBeUndefined();
  });

  test('that cannot be read let nothing in by guess, and hold up no VM that leaves', () => {
    using directory = new TempDirectory();
    const epochs = new KnownEpochs(directory.path, LOG);
    writeFileSync(directory.join('epochs', `${UUID}.json`), '{');
    expect(() => epochs.refusalFor({ uuid: UUID, epoch: 1 })).toThrow(SyntaxError);
    epochs.note({ uuid: UUID, createdAt: CREATED_AT }, 5);
  });
});
