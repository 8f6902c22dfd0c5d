/** What a daemon does with a VM whose QEMU an earlier one was replacing. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, type MockInstance, test, vi } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { refusedWith, startTrialDaemon } from '../../test/support/trial-daemon.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import { identifyProcess, waitForExit } from '../linux/process.ts';
import { UpgradeJournal, upgradeJournalPath } from '../upgrade/upgrade-journal.ts';
import { VmStore } from './vm-store.ts';

requireCapability('kernel')('an upgrade that an earlier daemon had begun', () => {
  test('withholds the VM where its journal cannot be read, and leaves both QEMUs', async () => {
    const damage = 'damaged\nand more of it\n';
    await using trial = await startTrialDaemon({
      prepare: (_, state) => writeFileSync(upgradeJournalPath(state, 'web1'), damage),
    });
    const { state, notes } = await trial.client.showVm('web1');
    expect(state).toBe('unknown');
    expect(notes.join()).toContain('which of two QEMUs');
    await expect(trial.client.actOnVm('web1', 'resume')).rejects.toThrow(refusedWith('GW_CONFLICT') as Error);
    await expect(trial.client.upgradeVm('web1')).rejects.toThrow(refusedWith('GW_CONFLICT') as Error);
    expect(existsSync(upgradeJournalPath(trial.state, 'web1'))).toBe(true);
  });

  test('that had not come to anything is forgotten', async () => {
    await using trial = await startTrialDaemon({
      prepare: (_, state) => writeFileSync(upgradeJournalPath(state, 'web1'), ''),
    });
    expect((await trial.client.showVm('web1')).state).not.toBe('unknown');
    expect(existsSync(upgradeJournalPath(trial.state, 'web1'))).toBe(false);
    await expect(trial.client.cancelUpgrade('web1')).rejects.toThrow(refusedWith('GW_NOT_FOUND') as Error);
  });

  test('and cannot read withholds the VM also when the old QEMU has ended: the new one may have it', async () => {
    await using trial = await startTrialDaemon({
      identity: { ...identifyProcess(process.pid)!, startTicks: 1 },
      prepare: (_, state) => writeFileSync(upgradeJournalPath(state, 'web1'), 'damaged\nand more of it\n'),
    });
    expect(await trial.client.showVm('web1')).toMatchObject({ state: 'unknown', ended: null });
    await expect(trial.client.removeVm('web1')).rejects.toThrow(refusedWith('GW_CONFLICT') as Error);
  });

  test('and committed goes on while the disk is full, and keeps its journal until the record is saved', async () => {
    const old = spawn('sleep', ['60'], { stdio: 'ignore' });
    using full = vi.spyOn(VmStore.prototype, 'save');
    await using trial = await startTrialDaemon({ prepare: (_, state) => commit(state, old.pid!, full) });
    const { client, qmp, state } = trial;
    expect(await client.showVm('web1')).toMatchObject({ pid: process.pid, state: 'running' });
    expect(await waitForExit(identifyProcess(old.pid!) ?? { pid: old.pid!, startTicks: 0 })).toBe(true);
    expect(qmp.commands).toContain('cont');
    // A daemon that dies now would look for the VM where it was.
    for (const taken of [client.upgradeVm('web1'), client.migrate('web1', { to: '127.0.0.1:7999' })]) {
      await expect(taken).rejects.toThrow(/cannot be saved yet/);
    }
    expect(existsSync(upgradeJournalPath(state, 'web1'))).toBe(true);
    full.mockRestore();
    await waitUntil('the journal is gone', () => !existsSync(upgradeJournalPath(state, 'web1')));
    expect(new VmStore(state).loadAll().vms[0]?.record.pid).toBe(process.pid);
    expect(existsSync(join(state, 'vms', 'web1', 'old'))).toBe(false);
  });
});

/** The VM is in its QEMU since the commit, and its record names another one; from then on no record can be saved. */
function commit(state: string, oldPid: number, full: MockInstance<VmStore['save']>): void {
  const store = new VmStore(state);
  const now = store.loadAll().vms[0]!;
  const directory = join(state, 'vms', 'web1', 'old');
  mkdirSync(directory);
  const old = { ...now.record, ...identifyProcess(oldPid)!, qmpPath: join(directory, 'qmp.sock') };
  store.save({ ...now, record: old });
  using journal = UpgradeJournal.create(upgradeJournalPath(state, 'web1'));
  journal.append({ kind: 'begun', old, instance: 'first' });
  journal.append({ kind: 'stopping', wasRunning: true });
  journal.append({ kind: 'committed', vm: now.record, settings: null });
  full.mockImplementation(() => {
    throw new Error('ENOSPC');
  });
}
