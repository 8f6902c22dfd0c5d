/**
 * Replacings of QEMUs that an earlier daemon had begun, before this one looks for its VMs.
 *
 * Must hold: one VM keeps no daemon from starting; what is not finished keeps its journal, and its VM from everybody; a
 * record that cannot be saved yet keeps nobody from the VM, but the journal stays until it is.
 */
import type { VmRecord } from '../migration/vm-record.ts';
import { removeUpgradeJournal, upgradeJournalPath } from '../upgrade/upgrade-journal.ts';
import { recoverUpgrade } from '../upgrade/upgrade-recovery.ts';
import type { Logger } from './logger.ts';
import { VmStore } from './vm-store.ts';

/** The VM is in another QEMU than its record says, and the old one has ended. */
export interface ReplacedQemu {
  /** Of the one that has it. */
  readonly record: VmRecord;
  /** To be called when that is on disk. */
  saved(): void;
}

/** By the names of the VMs; of the others the records are right. */
export interface RecoveredUpgrades {
  readonly replaced: ReadonlyMap<string, ReplacedQemu>;
  /** Why nobody may have the VM. */
  readonly withheld: ReadonlyMap<string, string>;
}

export async function recoverUpgrades(stateDirectory: string, log: Logger): Promise<RecoveredUpgrades> {
  const replaced = new Map<string, ReplacedQemu>();
  const withheld = new Map<string, string>();
  for (const { record } of new VmStore(stateDirectory).loadAll().vms) {
    const { name } = record;
    const path = upgradeJournalPath(stateDirectory, name);
    const note = (reason: string): void => log.warn({ vm: name, reason }, 'replacing a QEMU');
    const recovery = await recoverUpgrade({ stateDirectory, known: record, note });
    const { kind } = recovery;
    if (kind === 'unfinished') {
      withheld.set(name, recovery.reason);
      log.error({ vm: name, path, reason: recovery.reason }, 'nobody gets a VM whose QEMU was being replaced');
      continue;
    }
    const saved = (): void => removeUpgradeJournal(path);
    if (kind === 'replaced') replaced.set(name, { record: recovery.vm, saved });
    else saved();
    if (kind !== 'nothing') log.info({ vm: name, kind }, 'a QEMU was being replaced when the daemon ended');
  }
  return { replaced, withheld };
}
