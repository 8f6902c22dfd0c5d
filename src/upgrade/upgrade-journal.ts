/**
 * The durable record of one replacing of a VM's QEMU: which of the two QEMUs has the VM.
 *
 * Owns: the file `upgrade.journal` in the VM's directory, and what its last record means after a crash. Must hold: until
 * `committed` is on stable storage the VM is the old QEMU's, from then on the new one's, and nothing else decides; the file
 * is there as long as anything of the other QEMU may be.
 */
import { existsSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { explain } from '../base/errors.ts';
import { Journal, type JournalFacts, readJournal } from '../migration/journal.ts';
import { type VmRecord, vmPaths } from '../migration/vm-record.ts';
import type { MigrationSettings } from '../qemu/migration-settings.ts';

export type UpgradeRecord =
  /** A new QEMU is about to be started. */
  | {
      readonly kind: 'begun';
      /** As it was. */
      readonly old: VmRecord;
      /** Of the new QEMU's directory. */
      readonly instance: string;
    }
  /** The old one's settings are about to be changed. */
  | { readonly kind: 'borrowed'; readonly settings: MigrationSettings }
  /** The old one is about to be stopped. */
  | { readonly kind: 'stopping'; readonly wasRunning: boolean }
  /** The new one has the VM. */
  | {
      readonly kind: 'committed';
      readonly vm: VmRecord;
      /** Of the new one, as they were before they were changed. */
      readonly settings: MigrationSettings | null;
    }
  /** The old one has ended, and the new one is in order: from here on its user pauses and resumes it. Only the VM's record is left. */
  | { readonly kind: 'settled' };

/** What is to be done by who finds such a journal. */
export type UpgradeDecision =
  /** Nothing was begun. */
  | { readonly kind: 'nothing' }
  /** The new QEMU is ended. */
  | {
      readonly kind: 'rollBack';
      readonly old: VmRecord;
      readonly instance: string;
      readonly settings: MigrationSettings | null;
      /** Then it may have been stopped. */
      readonly wasRunning: boolean;
    }
  /** The old QEMU is ended. */
  | {
      readonly kind: 'goOn';
      readonly old: VmRecord;
      readonly vm: VmRecord;
      readonly settings: MigrationSettings | null;
      /** Then it may not have been resumed, unless all is settled. */
      readonly wasRunning: boolean;
      readonly isSettled: boolean;
    };

export class UpgradeJournal implements Disposable {
  readonly #journal: Journal;

  private constructor(journal: Journal) {
    this.#journal = journal;
  }

  /** @throws GW_CONFLICT when there is one */
  static create(path: string): UpgradeJournal {
    return new UpgradeJournal(Journal.create(path));
  }

  /** Returns when it is on stable storage. */
  append(record: UpgradeRecord): void {
    this.#journal.append(lineOf(record));
  }

  [Symbol.dispose](): void {
    this.#journal[Symbol.dispose]();
  }
}

export function upgradeJournalPath(stateDirectory: string, vm: string): string {
  return join(dirname(vmPaths(stateDirectory, vm, '.').record), 'upgrade.journal');
}

/** @returns undefined when there is no such journal @throws GW_JOURNAL_CORRUPT */
export function readUpgradeJournal(path: string): UpgradeRecord[] | undefined {
  if (!existsSync(path)) return undefined;
  return readJournal(path).flatMap((line) =>
    line.side === 'facts' && line['upgrade'] !== undefined ? [line['upgrade'] as UpgradeRecord] : [],
  );
}

/** A full disk may keep it from being written: then a daemon that dies before the VM's record is saved has all of it done again. */
export function settleUpgradeJournal(path: string, note: (text: string) => void): void {
  try {
    using journal = Journal.reopen(path);
    journal.append(lineOf({ kind: 'settled' }));
  } catch (error) {
    note(`The upgrade journal cannot be written: ${explain(error)}`);
  }
}

export function removeUpgradeJournal(path: string): void {
  rmSync(path, { force: true });
}

/** @param records - in the order in which they were written */
export function decideUpgrade(records: readonly UpgradeRecord[]): UpgradeDecision {
  const begun = find(records, 'begun');
  if (!begun) return { kind: 'nothing' };
  const { old, instance } = begun;
  const wasRunning = find(records, 'stopping')?.wasRunning ?? false;
  const committed = find(records, 'committed');
  if (!committed) {
    return { kind: 'rollBack', old, instance, settings: find(records, 'borrowed')?.settings ?? null, wasRunning };
  }
  const { vm, settings } = committed;
  return { kind: 'goOn', old, vm, settings, wasRunning, isSettled: find(records, 'settled') !== undefined };
}

function lineOf(record: UpgradeRecord): JournalFacts {
  return { side: 'facts', upgrade: record };
}

function find<Kind extends UpgradeRecord['kind']>(
  records: readonly UpgradeRecord[],
  kind: Kind,
): Extract<UpgradeRecord, { kind: Kind }> | undefined {
  return records.find((record): record is Extract<UpgradeRecord, { kind: Kind }> => record.kind === kind);
}
