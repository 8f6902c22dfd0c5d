/**
 * What a VM of a group that moves needs of the group and of its host.
 */
import type { MigrationHandle } from '../migration/handle.ts';
import type { MigrationReport } from '../migration/report.ts';

export interface GroupMemberPort {
  /** Its name. */
  readonly group: string;
  /** Begins a migration of the VM. @param waits - until it is told to hurry. @throws when it cannot */
  start(vm: string, waits: boolean): Promise<MigrationHandle>;
  /** Its QEMU has ended by itself: there is nothing to be moved. */
  hasEnded(vm: string): boolean;
  /** VMs of the group run at the other host: there is no way back. */
  isSplit(): boolean;
  /** The daemon ends: what fails is tried again by the next one. */
  isHalted(): boolean;
  /** Of a migration that has ended; undefined: not known. */
  reportOf(migration: string): Pick<MigrationReport, 'downtimeMs' | 'downtimeParts'> | undefined;
  onStands(vm: string): void;
  /** It is the other host's; told before it runs there. */
  onLeft(vm: string): void;
  /** Its migration has failed after the stop. */
  onContinued(vm: string): void;
  /** It was told to stop, or stands, and the next step does not come. */
  onOverdue(vm: string): void;
  onChanged(): void;
  /** How long the stop may take after the order, and the saving of the state after the stop. */
  readonly overdueMs: number;
  /** Between two migrations of a VM that has to follow. */
  readonly retryMs: number;
  note(text: string): void;
}
