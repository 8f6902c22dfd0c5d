/**
 * What one migration at the source is about, and whom it tells.
 *
 * Owns: the facts that the journal keeps beside the handover's records. Must hold: with both, a process that was
 * restarted can go on; nothing in here changes during the migration.
 */
import type { KnownImage } from '../storage/known-image.ts';
import type { OfferedDisk } from '../wire/disk-messages.ts';
import type { Entrust } from './group-tracker.ts';
import type { HostTraffic, VmSettlement } from './handle.ts';
import type { MigrationEvent } from './progress.ts';
import type { MigrationOptions } from './request.ts';
import type { GroupPart } from './shared-part.ts';
import type { VmRecord } from './vm-record.ts';

/** The daemon's main thread. */
export interface SourcePort {
  emit(event: MigrationEvent): void;
  settle(settlement: VmSettlement): void;
  /** Closes the descriptor if this thread dies without being able to. */
  readonly entrust: Entrust;
}

/** What a migration has of its host, which is another one's after a restart. */
export interface SourceHost {
  readonly traffic: HostTraffic;
  /** For contents that the destination holds; null: the VM's own key. */
  readonly fleetKey: string | null;
  /** What VMs that leave have sent lately; null: this one shares nothing with others. */
  readonly sentContents: SharedArrayBuffer | null;
}

/** Everything that a restarted daemon needs besides the handover's own records. */
export interface SourceFacts {
  readonly id: string;
  readonly vm: VmRecord;
  readonly to: string;
  /** As the destination calls itself. */
  readonly destinationName: string;
  /** Absent: the VM moves alone. */
  readonly group?: GroupPart;
  /** As they were asked for; some can be tuned meanwhile. */
  readonly options: MigrationOptions;
  /** Absent: it has none that are files or devices of a host, or the journal is older. */
  readonly disks?: readonly OfferedDisk[];
  /** After a restart: of disks that the destination has copies of. */
  readonly copiedImages?: readonly KnownImage[];
  readonly hostName: string;
  readonly sessionKey: string;
  readonly startedAt: number;
  readonly historyPath: string;
  /** What this host knows of its links to others. */
  readonly linksPath: string;
}
