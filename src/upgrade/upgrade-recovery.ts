/**
 * A VM whose QEMU was being replaced when the daemon, or the thread, died: only one of the two QEMUs stays, and has the VM.
 *
 * Must hold: the one that does not stay is ended before the other one runs the VM; all of it can be done again, so the
 * journal goes last, and whoever called removes it when the VM's record is right.
 */
import { dirname } from 'node:path';
import { asGodwitError } from '../base/errors.ts';
import { isAlive } from '../linux/process.ts';
import { insist } from '../migration/insist.ts';
import { removeLeftInstance } from '../migration/left-instance.ts';
import type { VmRecord } from '../migration/vm-record.ts';
import { cancelMigration } from '../qemu/device-state-save.ts';
import { type MigrationSettings, restoreMigrationSettings } from '../qemu/migration-settings.ts';
import { killQemu } from '../qemu/process.ts';
import { QmpClient } from '../qemu/qmp.ts';
import { contVm } from '../qemu/run-state.ts';
import { decideUpgrade, readUpgradeJournal, type UpgradeDecision, upgradeJournalPath } from './upgrade-journal.ts';

/** Another program may hold the only QMP connection for a while. */
const TRIES = 5;

/**
 * @returns what was decided, and done; undefined when nothing was begun
 * @throws GW_JOURNAL_CORRUPT
 */
export async function recoverUpgrade(
  stateDirectory: string,
  vm: string,
  note: (text: string) => void,
): Promise<UpgradeDecision | undefined> {
  const records = readUpgradeJournal(upgradeJournalPath(stateDirectory, vm));
  const decision = records && decideUpgrade(records);
  if (decision?.kind === 'rollBack') {
    await removeLeftInstance(stateDirectory, vm, decision.instance);
    await goOn(decision.old, decision, note);
  }
  if (decision?.kind === 'goOn') {
    await killQemu(decision.old);
    await goOn(decision.vm, decision, note);
  }
  return decision;
}

/** Its QEMU as it was before, and running if it ran. What fails is told: the VM's user can see, and resume it. */
async function goOn(
  record: VmRecord,
  { resume, settings }: { readonly resume: boolean; readonly settings: MigrationSettings | null },
  note: (text: string) => void,
): Promise<void> {
  let tries = 0;
  const act = async (): Promise<void> => {
    tries++;
    using qmp = await QmpClient.connect(record.qmpPath);
    await cancelMigration(qmp);
    if (resume) await contVm(qmp);
    if (settings) await restoreMigrationSettings(qmp, settings);
  };
  const isHopeless = (): boolean => tries >= TRIES || !isAlive(record);
  const what = `Putting VM ${record.name} back in order (${dirname(record.qmpPath)})`;
  await insist(act, { what, note, isHopeless }).catch((error: unknown) => note(asGodwitError(error).message));
}
