/**
 * A VM whose QEMU was being replaced when the daemon, or the thread, died: only one of the two QEMUs stays, and has the VM.
 *
 * Must hold: the one that does not stay has ended before the other one is let run; the one that stays is touched only while
 * the VM's record is still the one of before: later the VM is its user's, or another host's; all of it can be done again, so
 * the journal goes last, and whoever called removes it when the VM's record is right.
 */
import { dirname } from 'node:path';
import { asGodwitError, explain, type GodwitError } from '../base/errors.ts';
import { isAlive } from '../linux/process.ts';
import { insist } from '../migration/insist.ts';
import { removeLeftInstance } from '../migration/left-instance.ts';
import type { VmRecord } from '../migration/vm-record.ts';
import { cancelMigration } from '../qemu/device-state-save.ts';
import { activateDisks } from '../qemu/disk-activation.ts';
import { restoreMigrationSettings } from '../qemu/migration-settings.ts';
import { killQemu } from '../qemu/process.ts';
import { QmpClient } from '../qemu/qmp.ts';
import { contVm } from '../qemu/run-state.ts';
import {
  decideUpgrade,
  readUpgradeJournal,
  settleUpgradeJournal,
  type UpgradeDecision,
  upgradeJournalPath,
} from './upgrade-journal.ts';

export type UpgradeRecovery =
  /** There is no journal, or nothing was begun. */
  | { readonly kind: 'nothing' }
  /** The VM is where its record says. */
  | { readonly kind: 'stayed' }
  /** The VM is in the new QEMU, and its record does not say so yet. */
  | { readonly kind: 'replaced'; readonly vm: VmRecord; readonly wasRunning: boolean }
  /** Nobody may have the VM, and its journal stays: it has to be tried again. */
  | { readonly kind: 'unfinished'; readonly reason: string };

export interface RecoveryOptions {
  readonly stateDirectory: string;
  /** The VM's record. */
  readonly known: VmRecord;
  note(text: string): void;
}

/** What is done to QEMUs. */
export interface RecoveryParts {
  /** @returns whether it is gone */
  kill(old: VmRecord): Promise<boolean>;
  /** @returns whether it is gone */
  removeInstance(stateDirectory: string, vm: string, instance: string): Promise<boolean>;
  /** @throws when its QEMU lives, and is not in order */
  putInOrder(record: VmRecord, decision: Carried, note: RecoveryOptions['note']): Promise<void>;
}

type Carried = Exclude<UpgradeDecision, { kind: 'nothing' }>;

/** Another program may hold the only QMP connection for a while. */
const TRIES = 5;

/** Never throws. */
export async function recoverUpgrade(
  options: RecoveryOptions,
  parts: RecoveryParts = REAL_PARTS,
): Promise<UpgradeRecovery> {
  const path = upgradeJournalPath(options.stateDirectory, options.known.name);
  let decision: UpgradeDecision;
  try {
    decision = decideUpgrade(readUpgradeJournal(path) ?? []);
  } catch (error) {
    return unfinished(`it cannot be told which of two QEMUs has it: ${explain(error)}`);
  }
  if (decision.kind === 'nothing') return decision;
  try {
    return await carryOut(decision, path, options, parts);
  } catch (error) {
    return unfinished(`replacing its QEMU cannot be brought to an end: ${explain(error)}`);
  }
}

async function carryOut(
  decision: Carried,
  path: string,
  { stateDirectory, known, note }: RecoveryOptions,
  parts: RecoveryParts,
): Promise<UpgradeRecovery> {
  const { old } = decision;
  // Whatever the record says: it does not get the VM again.
  const isGone =
    decision.kind === 'goOn'
      ? await parts.kill(old)
      : await parts.removeInstance(stateDirectory, known.name, decision.instance);
  const which = decision.kind === 'goOn' ? `old QEMU (process ${old.pid})` : 'new QEMU';
  if (!isGone) return unfinished(`its QEMU was being replaced, and the ${which} does not end although it was killed`);
  // Otherwise all was done, and the VM may even be another one by now.
  if (known.qmpPath !== old.qmpPath) return { kind: 'stayed' };
  if (decision.kind === 'rollBack') {
    await parts.putInOrder(old, decision, note);
    return { kind: 'stayed' };
  }
  const { vm, wasRunning, isSettled } = decision;
  if (!isSettled) {
    await parts.putInOrder(vm, decision, note);
    settleUpgradeJournal(path, note);
  }
  return { kind: 'replaced', vm, wasRunning };
}

/** Its QEMU as it was before, and running if it ran. A guest that has ended stays so: the VM's user can see that. */
async function putInOrder(
  record: VmRecord,
  { wasRunning, settings }: Carried,
  note: RecoveryOptions['note'],
): Promise<void> {
  let tries = 0;
  const act = async (): Promise<void> => {
    tries++;
    using qmp = await QmpClient.connect(record.qmpPath);
    await cancelMigration(qmp);
    if (wasRunning) await contVm(qmp);
    if (settings) await restoreMigrationSettings(qmp, settings);
    // Last: what cannot be made active keeps nothing else from being in order.
    if (!wasRunning) await activateDisks(qmp, record.pid);
  };
  const hasEnded = ({ code }: GodwitError): boolean => code === 'GW_QEMU_STATE' || !isAlive(record);
  const isHopeless = (error: GodwitError): boolean => tries >= TRIES || hasEnded(error);
  const what = `Putting VM ${record.name} back in order (${dirname(record.qmpPath)})`;
  try {
    await insist(act, { what, note, isHopeless });
  } catch (thrown) {
    const error = asGodwitError(thrown);
    if (!hasEnded(error)) throw error;
    note(error.message);
  }
}

function unfinished(reason: string): UpgradeRecovery {
  return { kind: 'unfinished', reason };
}

const REAL_PARTS: RecoveryParts = { kill: killQemu, removeInstance: removeLeftInstance, putInOrder };
