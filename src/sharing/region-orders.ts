/**
 * What the main thread and a region's thread say to each other.
 *
 * Owns: the words, as plain data. Orders and reports are messages; only that the thread is to end goes by shared memory,
 * because it may be waiting for memory of the host in the middle of a step.
 */
import type { ErrorBody } from '../base/errors.ts';
import type { RegionReport } from './region-report.ts';

export interface RegionOfGroup {
  readonly name: string;
  readonly bytes: number;
  /** Of its file, or /proc/PID/fd/N of a process that has it open. */
  readonly path: string;
}

/** A QEMU that has the region mapped. */
export interface WatchedVm {
  readonly vm: string;
  readonly pid: number;
  readonly startTicks: number;
  /** Of the region's first byte in that QEMU. */
  readonly hostAddress: bigint;
  /** An open /dev/userfaultfd of that QEMU, where it may not call userfaultfd(2) (linux/userfaultfd-maker.ts). */
  readonly deviceFdInside?: number;
}

/** A QEMU that an earlier process of ours has left watched. */
export interface LeftVm extends WatchedVm {
  /** Number of the userfaultfd in QEMU. */
  readonly insideFd: number;
}

export interface RegionThreadInput {
  readonly region: RegionOfGroup;
  /** Path of the file in which the thread keeps what must outlive it (region-journal.ts). */
  readonly journal: string;
  /** An earlier process began it, and left these watched; null: it begins now. */
  readonly resumes: readonly LeftVm[] | null;
  readonly hostName: string;
  /** Readable when an order waits; the main thread's. */
  readonly controlFd: number;
  /** [0] is 1 when the thread is to end, leaving everything as it is. */
  readonly stop: Int32Array<SharedArrayBuffer>;
}

export interface RegionSourceInput extends RegionThreadInput {
  readonly vms: readonly (WatchedVm & { readonly canStopInFault: boolean })[];
  /** What the host may send (transfer/host-budget.ts); null: no limit. */
  readonly budget: SharedArrayBuffer | null;
}

export interface RegionDestinationInput extends RegionThreadInput {
  /** The connection on which the region was offered; the thread's. null: one that is resumed waits for one. */
  readonly fd: number | null;
}

/** The descriptor is the thread's. `answer`: what is said first on it. */
export type LinkOrder = { readonly kind: 'link'; readonly fd: number; readonly answer: 'ready' | 'joined' | null };
type ReportOrder = { readonly kind: 'report'; readonly sequence: number };
/** Leave everything as it was found. */
type CancelOrder = { readonly kind: 'cancel' };

export type RegionSourceOrder =
  | LinkOrder
  | ReportOrder
  | CancelOrder
  | { readonly kind: 'begin' }
  /** The destination knows nothing of the region; or it has had everything, and has ended. */
  | { readonly kind: 'unknown' | 'over' }
  | { readonly kind: 'vmStopped' | 'vmLeft' | 'vmContinued' | 'vmOverdue'; readonly vm: string };

export type RegionDestinationOrder =
  | LinkOrder
  | ReportOrder
  | CancelOrder
  | { readonly kind: 'attach'; readonly vm: WatchedVm; readonly insideFd: number; readonly sequence: number }
  | { readonly kind: 'detach'; readonly vm: string };

/** From either thread. */
export type RegionWord =
  /** The source watches every VM. The numbers of the userfaultfds inside the QEMUs, by VM. */
  | {
      readonly kind: 'watching';
      readonly insideFds: readonly (readonly [vm: string, insideFd: number])[];
      /** Pages may have changed hosts: an earlier process had begun. */
      readonly hasBegun: boolean;
    }
  | {
      readonly kind: 'stopVm';
      readonly vm: string;
      readonly page: number;
      readonly forGood: boolean;
      readonly atMs: number;
    }
  | { readonly kind: 'linkLost'; readonly reason: string }
  | { readonly kind: 'linkBack' }
  /** The source, when the destination knows nothing of the region: no page has ever been given. */
  | { readonly kind: 'unmoved' }
  /** Something that a person should know. */
  | { readonly kind: 'noted'; readonly text: string }
  | {
      readonly kind: 'answered';
      readonly sequence: number;
      readonly error: ErrorBody | null;
      readonly report: RegionReport | null;
    }
  | { readonly kind: 'completed'; readonly report: RegionReport }
  | { readonly kind: 'cancelled' }
  | { readonly kind: 'failed'; readonly error: ErrorBody };
