/**
 * One migration as the host daemon sees it: a handle on a worker thread.
 *
 * Owns: the interface between the daemon's main thread and the engine. The engine has the VM's QMP connection while
 * `busy`; the daemon gives it up before `startOutgoing`, has none of a VM that a recovered migration has, and takes it at `vmSettled`.
 */
import type { GodwitError, JsonValue } from '../base/errors.ts';
import type { ProcessIdentity } from '../linux/process.ts';
import type { DialPolicy } from '../transfer/dial.ts';
import type { ImagesDirectory } from './disk-fit.ts';
import type { ContentPolicy } from './held-contents.ts';
import type { MigrationCommand, MigrationEvent } from './progress.ts';
import type { RegionPolicy } from './region-policy.ts';
import type { MigrationReport } from './report.ts';
import type { MigrationOptions } from './request.ts';
import type { GroupPart, OfferedSharing, SharedPaths } from './shared-part.ts';
import type { VmRecord } from './vm-record.ts';

/** Where the VM is, seen from this host, once the engine has let go of its QMP connection. */
export type VmSettlement =
  /** It runs (or is paused) here, as before. */
  | { readonly kind: 'stays' }
  /** It runs at the other host; QEMU here serves its memory until the migration has ended, then it is gone. */
  | { readonly kind: 'left'; readonly to: string; readonly epoch: number }
  /** It has arrived here and runs (or is paused, as it was). Pages may still be missing until `ended`. */
  | { readonly kind: 'arrived'; readonly vm: VmRecord }
  /** Nothing of it is here. */
  | { readonly kind: 'absent' }
  /** Only the journal could tell, and it cannot be read: nobody may run the VM before a person has looked. */
  | { readonly kind: 'undecided'; readonly reason: string };

export interface MigrationHandle {
  readonly id: string;
  readonly vm: string;
  readonly uuid: string;
  /** That the VM has here; of one that is coming, that it will have. */
  readonly epoch: number;
  readonly direction: 'outgoing' | 'incoming';
  /** Name or address of the other host. */
  readonly peer: string;
  readonly options: MigrationOptions;
  /** The VM's guest memory. */
  readonly ramBytes: number;
  /**
   * False for a migration that a restart found and that only owes the other host a last word: the VM of that name at
   * this host, if there is one, is not its to settle.
   */
  readonly hasVm: boolean;
  /** Of this host; null where none was written down yet. A later VM of the name has another. */
  readonly qemu: ProcessIdentity | null;
  onEvent(listener: (event: MigrationEvent) => void): () => void;
  /** Throws GW_MIGRATION_TOO_LATE, GW_CONFLICT, GW_INPUT_INVALID … when the command cannot be carried out. */
  command(command: MigrationCommand): Promise<void>;
  /** Never rejects. */
  readonly vmSettled: Promise<VmSettlement>;
  /** Never rejects; the VM needs nothing of the migration any more. */
  readonly ended: Promise<MigrationReport>;
  /** Never rejects; nothing of it runs here any more. An abort owed to the other host can outlive `ended`. */
  readonly exited: Promise<void>;
}

/** What a restart found. */
export interface FoundMigrations {
  /** Those that go on. */
  readonly handles: readonly MigrationHandle[];
  /** Those of which nobody can tell how far they have come. */
  readonly damaged: readonly DamagedMigration[];
}

export interface DamagedMigration {
  readonly id: string;
  /** null: not even that can be read. */
  readonly vm: string | null;
  /** To here, as far as that can be read. */
  readonly coming: ComingVm | null;
  readonly error: GodwitError;
}

/** What is known of a VM on its way to here. */
export type ComingVm = Pick<MigrationHandle, 'id' | 'vm' | 'uuid' | 'epoch' | 'peer' | 'ramBytes' | 'qemu'>;

/** What the migrations of a host have in common on the network. */
export interface HostTraffic extends DialPolicy {
  /** Shared memory of their budget (transfer/host-budget.ts). */
  readonly budget: SharedArrayBuffer;
}

export interface OutgoingInput {
  readonly id: string;
  readonly vm: VmRecord;
  /** HOST:PORT of the destination's migration port. */
  readonly to: string;
  readonly options: MigrationOptions;
  readonly hostName: string;
  readonly stateDirectory: string;
  readonly contents: ContentPolicy;
  readonly traffic: HostTraffic;
  /** The VM moves with those that it shares memory with. */
  readonly group?: GroupPart;
}

/** What the daemon answers when a peer offers a VM. */
export type Admission =
  | { readonly kind: 'admitted' }
  /** The source asks again after a second (V2). */
  | { readonly kind: 'notYet'; readonly reason: string }
  | { readonly kind: 'refused'; readonly reason: string };

/** What the engine needs from the daemon of the destination. */
export interface IncomingPolicy {
  readonly hostName: string;
  readonly stateDirectory: string;
  /** Absolute paths of the programs that a VM's network interfaces may name. */
  readonly allowedNetworkScripts: readonly string[];
  /** Where images of disks are made that come with their VMs. */
  readonly images: ImagesDirectory;
  readonly contents: ContentPolicy;
  /** The files of a group's regions here. @throws GW_MIGRATION_REFUSED when no such group is on its way here */
  sharedPathsOf(vm: string, sharing: OfferedSharing): SharedPaths;
  /**
   * Called before anything is created; also for a mere check. Once admitted the name and the room are this migration's,
   * if it begins at once; a check has the room until `onChecked`.
   */
  admit(offer: {
    readonly migrationId: string;
    readonly vm: string;
    readonly uuid: string;
    readonly epoch: number;
    /** Unix milliseconds; absent when the source does not tell. */
    readonly createdAt?: number;
    readonly memoryBytes: number;
    /** MAC addresses of its network interfaces. */
    readonly macs: readonly string[];
    readonly from: string;
    readonly checkOnly: boolean;
  }): Admission;
  /** Nothing is left of a check that was admitted. */
  onChecked(migrationId: string): void;
  /** A migration to here has begun. */
  onIncoming(handle: MigrationHandle): void;
  /** Absent: this host takes no memory that VMs share. */
  readonly regions?: RegionPolicy | undefined;
}

/** The listening migration port. */
export interface MigrationListener {
  readonly host: string;
  readonly port: number;
  close(): Promise<void>;
}

/** What would block a migration, from both hosts. */
export interface CheckResult {
  readonly ok: boolean;
  /** How a migration would end now: `refused`, or `failed` because somebody, such as the other host, could not be asked. */
  readonly outcome: 'ok' | 'refused' | 'failed';
  readonly blockers: readonly {
    readonly id: string;
    readonly what: string;
    readonly reason: string;
    readonly fix: string;
  }[];
  readonly notes: readonly string[];
  readonly facts: Readonly<Record<string, JsonValue>>;
}
