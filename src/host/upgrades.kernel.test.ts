/** What a daemon does with a VM of which nobody can tell which of two QEMUs has it. */
import { existsSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { refusedWith, startTrialDaemon } from '../../test/support/trial-daemon.ts';
import { upgradeJournalPath } from '../upgrade/upgrade-journal.ts';

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
});
