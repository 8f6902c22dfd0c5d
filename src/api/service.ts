/**
 * What the API needs from the host daemon behind it.
 *
 * Owns: the port between HTTP and the host. Every method that cannot do what it was asked throws a GodwitError.
 */
import type { CheckResult } from '../migration/handle.ts';
import type { CommonalityView } from './commonality-schema.ts';
import type { EventHub } from './event-hub.ts';
import type { GroupFollowBody, GroupMigrateBody, GroupMigrationView } from './group-migration-schema.ts';
import type { GroupDetailView, GroupView } from './group-schema.ts';
import type { HistoryView } from './history-schema.ts';
import type { HostView, TuneHostBody } from './host-schema.ts';
import type { MigrateBody, MigrationView, TuneBody } from './migration-schema.ts';
import type { Leader } from './order-schema.ts';
import type { OutlookQuestion, OutlookView } from './outlook-schema.ts';
import type { UpgradeBody, UpgradeReportView } from './upgrade-schema.ts';
import type { AdoptBody, VmSpecBody, VmView } from './vm-schema.ts';

export interface ConsoleOptions {
  /** Only the last so many bytes; undefined: all. */
  readonly tailBytes?: number;
  /** Goes on with what the guest writes until the VM is gone or `signal` fires. */
  readonly follow: boolean;
  readonly signal: AbortSignal;
}

export interface HostService {
  readonly events: EventHub;
  host(): HostView;
  tuneHost(request: TuneHostBody): HostView;
  acknowledgeLeader(leader: Leader): Leader;

  /** What a planner is told. */
  outlook(question: OutlookQuestion): OutlookView;
  commonality(isExact: boolean): Promise<CommonalityView>;

  listVms(): VmView[];
  showVm(name: string): VmView;
  createVm(spec: VmSpecBody): Promise<VmView>;
  adoptVm(request: AdoptBody): Promise<VmView>;
  pauseVm(name: string): Promise<VmView>;
  resumeVm(name: string): Promise<VmView>;
  /** Asks the guest to power down; after `timeoutMs` QEMU is told to quit. */
  stopVm(name: string, timeoutMs: number): Promise<VmView>;
  /** Ends QEMU at once. */
  killVm(name: string): Promise<VmView>;
  /** Replaces its QEMU while it runs; resolves when that is done. */
  upgradeVm(name: string, request: UpgradeBody): Promise<UpgradeReportView>;
  /** The VM is to stay in its old QEMU; resolves when it is known which one it has. */
  cancelUpgrade(name: string): Promise<VmView>;
  /** Forgets a VM whose QEMU has ended, and deletes its files. */
  removeVm(name: string): Promise<void>;
  readConsole(name: string, options: ConsoleOptions): AsyncIterable<Uint8Array>;

  /** How the VM has been writing to its memory. */
  historyOfVm(name: string): HistoryView;

  listGroups(): GroupView[];
  /** @param name - of the group, or of any of its regions */
  showGroup(name: string): Promise<GroupDetailView>;

  migrateGroup(name: string, request: GroupMigrateBody): Promise<GroupMigrationView>;
  /** @param requestId - only what this request has begun */
  listGroupMigrations(requestId?: string): Promise<GroupMigrationView[]>;
  /** @param id - of these three: its id, the beginning of it, or while it runs the name of its group */
  showGroupMigration(id: string): Promise<GroupMigrationView>;
  cancelGroupMigration(id: string): Promise<GroupMigrationView>;
  followGroup(id: string, request: GroupFollowBody): Promise<GroupMigrationView>;

  checkVm(name: string, to: string): Promise<CheckResult>;
  migrateVm(name: string, request: MigrateBody): Promise<MigrationView>;

  /** @param requestId - only what this request has begun */
  listMigrations(limit: number, requestId?: string): Promise<MigrationView[]>;
  showMigration(id: string): MigrationView;
  /** Resolves when the migration has ended. */
  waitForMigration(id: string): Promise<MigrationView>;
  cancelMigration(id: string): Promise<MigrationView>;
  tuneMigration(id: string, request: TuneBody): Promise<MigrationView>;
  switchToPostCopy(id: string): Promise<MigrationView>;
  /** Of those that are held (`hold`); where one cannot be told, the others are nonetheless. */
  letMigrationsGo(ids: readonly string[]): Promise<MigrationView[]>;

  /** Prometheus text format. */
  metrics(): Promise<string>;
}
