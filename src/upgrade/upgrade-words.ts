/** What the daemon's main thread and the thread that replaces a QEMU say to each other. */
import type { ErrorBody } from '../base/errors.ts';
import type { VmRecord } from '../migration/vm-record.ts';
import type { SwitchOverTimes } from './switch-over.ts';

export interface UpgradeInput {
  readonly vm: VmRecord;
  /** A path, or a name to look up in PATH; null: the one that the VM runs, as it is on disk now. */
  readonly qemu: string | null;
  readonly stateDirectory: string;
  /** Eight characters that no other instance of the VM has. */
  readonly instance: string;
  readonly allowedNetworkScripts: readonly string[];
  /** When it was asked for, Unix milliseconds. */
  readonly startedAtMs: number;
}

/** A binary, and what it says that it is. */
export interface NamedQemu {
  readonly binary: string;
  readonly version: string;
}

export interface UpgradeMeasurements extends SwitchOverTimes {
  /** Before; one that its user had paused stays so. */
  readonly wasRunning: boolean;
  readonly from: NamedQemu;
  readonly to: NamedQemu;
  readonly totalMs: number;
  /** What differs for people, and what could not be done. */
  readonly notes: readonly string[];
}

export type UpgradeOutcome =
  /** The VM is in the new QEMU, and the old one has ended. */
  | { readonly kind: 'upgraded'; readonly vm: VmRecord; readonly measured: UpgradeMeasurements }
  /** The VM is in the old QEMU, as it was. */
  | { readonly kind: 'stayed'; readonly error: ErrorBody; readonly notes: readonly string[] };

export type UpgradeOrder = { readonly kind: 'cancel' };
