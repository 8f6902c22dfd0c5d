/**
 * A shared region as the daemon sees it: a handle on its thread, at the source and at the destination.
 *
 * Owns: the interface; source-handle.ts and destination-handle.ts are what is behind it.
 */

import type { ErrorBody } from '../base/errors.ts';
import type { DialPolicy } from '../transfer/dial.ts';
import type { OfferedRegion } from '../wire/messages.ts';
import { DestinationHandle } from './destination-handle.ts';
import type { LeftVm, RegionOfGroup, WatchedVm } from './region-orders.ts';
import type { RegionReport } from './region-report.ts';
import { SourceHandle } from './source-handle.ts';

export type { LeftVm, RegionOfGroup, WatchedVm } from './region-orders.ts';

export interface RegionSourceOptions extends DialPolicy {
  /** Of the migration of the group: a UUID. */
  readonly group: string;
  /** Chosen at random (migration/source-offer.ts). */
  readonly sessionKey: string;
  readonly region: RegionOfGroup;
  /** HOST:PORT of the destination's migration port. */
  readonly to: string;
  readonly hostName: string;
  /** What the host may send (transfer/host-budget.ts); absent: no limit. */
  readonly budget?: SharedArrayBuffer;
  /** All that have the region mapped here. */
  readonly vms: readonly (WatchedVm & { readonly canStopInFault: boolean })[];
  /** Path of a file on tmpfs in which it keeps what must outlive this process; the caller's to remove at the end. */
  readonly journal: string;
  /** An earlier process had got as far as `onWatched`: the VMs that it left watched. null: it begins now. */
  readonly resumes: readonly LeftVm[] | null;
  /**
   * Every QEMU is watched by userfaultfds of its own of these numbers, by VM. Should this process die, whoever comes after it
   * either goes on (`resumes`) or, where nothing has begun, ends the watch (`endLeftWatch`).
   * @throws when that cannot be written down: then nothing is begun
   */
  onWatched(insideFds: ReadonlyMap<string, number>): void;
  onEvent(event: RegionSourceEvent): void;
}

export type RegionSourceEvent =
  /** R4: the daemon stops the VM at once and migrates it. @param atMs - of the access, Unix time */
  | {
      readonly kind: 'stopVm';
      readonly vm: string;
      readonly page: number;
      readonly forGood: boolean;
      readonly atMs: number;
    }
  /** Before `begin` it is dialled again only after `begin`: who is told cancels if it is not too late. */
  | { readonly kind: 'linkLost'; readonly reason: string }
  | { readonly kind: 'linkBack' }
  /** Something that a person should know. */
  | { readonly kind: 'noted'; readonly text: string }
  /** The destination has everything; nothing is watched any more, the file may be freed. */
  | { readonly kind: 'completed'; readonly report: RegionReport }
  /** Before `begin`: nothing has moved, everything is released. Afterwards only where the thread has died. */
  | { readonly kind: 'failed'; readonly error: ErrorBody };

export interface RegionSourceHandle {
  /**
   * Every QEMU is watched, and the destination has accepted; of one that is resumed: the former. Rejects with its refusal, or
   * what else was in the way.
   */
  readonly ready: Promise<void>;
  /** Resolves, never rejects, when nothing of it runs any more. */
  readonly ended: Promise<void>;
  /** Whether pages may have changed hosts; of one that is resumed known when it is `ready`. */
  readonly hasBegun: boolean;
  /** The first VM is committed: from now on pages may be given. @throws GW_CONFLICT where it has failed or was cancelled */
  begin(): void;
  vmStopped(vm: string): void;
  vmLeft(vm: string): void;
  vmContinued(vm: string): void;
  vmOverdue(vm: string): void;
  /** As of now. */
  report(): Promise<RegionReport>;
  /** This process ends: nothing of it runs any more, all stays as it is, and who comes next resumes it. */
  abandon(): Promise<void>;
  /** Before `begin`: leaves the QEMUs as found and tells the destination. @throws GW_CONFLICT afterwards */
  cancel(): Promise<void>;
}

export interface RegionDestinationOptions {
  readonly group: string;
  /** The connection on which it was offered; its owner is the region from now on. null: of one that is resumed. */
  readonly fd: number | null;
  readonly peer: string;
  /** As at the source; the VMs that were attached. */
  readonly journal: string;
  readonly resumes: readonly LeftVm[] | null;
  /** Its file must be there, and have holes only, unless it is resumed. */
  readonly region: RegionOfGroup & OfferedRegion;
  readonly hostName: string;
  onEvent(event: RegionDestinationEvent): void;
}

export type RegionDestinationEvent =
  | { readonly kind: 'linkLost'; readonly reason: string }
  | { readonly kind: 'linkBack' }
  | { readonly kind: 'noted'; readonly text: string }
  /** Every page is here, and nothing is watched any more. The source may not know yet: `addConnection` goes on until `ended`. */
  | { readonly kind: 'completed'; readonly report: RegionReport }
  /** Nothing has moved, and nothing will: the file may be removed. */
  | { readonly kind: 'cancelled' }
  | { readonly kind: 'failed'; readonly error: ErrorBody };

export interface RegionDestinationHandle {
  readonly group: string;
  readonly ended: Promise<void>;
  /**
   * Its userfaultfd was made inside QEMU (REGION_FEATURES), and the mapping registered (missing and write-protect), before
   * anything could touch the region. The VM may run when this has resolved, not before: a page could be lent in between.
   */
  attach(vm: LeftVm): Promise<void>;
  /** `join` with purpose `region`; the descriptor is the region's. */
  addConnection(fd: number, peer: string): void;
  /** That VM's migration failed before it ran here: its QEMU is ended. */
  detach(vm: string): void;
  report(): Promise<RegionReport>;
  /** As at the source. */
  abandon(): Promise<void>;
  /** Gives up; the VMs attached are set free, as when nothing had been missing. For what comes to nothing before a VM ran here. */
  cancel(): Promise<void>;
}

export function startRegionSource(options: RegionSourceOptions): RegionSourceHandle {
  return new SourceHandle(options);
}

export function startRegionDestination(options: RegionDestinationOptions): RegionDestinationHandle {
  return new DestinationHandle(options);
}
