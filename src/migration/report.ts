/**
 * What a migration did, measured (V9, M4): the document that every migration ends in. Field by field in docs/report.md.
 *
 * Owns: the shape of the report. Must hold: every number was measured, never estimated, but those of
 * `prediction`, which say themselves how wrong they were; times are milliseconds.
 */
import type { ErrorBody } from '../base/errors.ts';
import type { TrackerFacts } from '../memory/dirty-tracker.ts';
import type { PackingCounts } from '../transfer/packing.ts';
import type { PredictionReport } from './prediction.ts';
import type { MigrationMode } from './request.ts';

export type MigrationOutcome = 'completed' | 'failed' | 'cancelled' | 'refused';

/** The downtime, split. The parts follow each other; their sum is `downtimeMs` up to clock resolution. */
export interface DowntimeParts {
  /** From QEMU's STOP event until the source knows that it has stopped the VM and drained its disks. */
  readonly stop: number;
  /** Collecting and sending the last dirty pages (pre-copy) or the list of missing pages (post-copy). */
  readonly lastRound: number;
  /** QEMU saving its device state. */
  readonly saveState: number;
  /** Device state on its way, as far as it did not overlap with saving. */
  readonly transferState: number;
  /** The destination QEMU loading it. */
  readonly loadState: number;
  /** The handover: journals of both sides and one round trip. */
  readonly commit: number;
  /** `cont` until QEMU's RESUME event. */
  readonly resume: number;
  /** Digest of all memory on both sides; 0 without `--verify`. */
  readonly verify: number;
}

export interface RoundReport {
  readonly number: number;
  readonly pages: number;
  readonly bytes: number;
  readonly ms: number;
  readonly transmissionPagesPerSecond: number;
  readonly modificationPagesPerSecond: number;
  readonly ratio: number;
  readonly throttlePercent: number;
  /** The rule that decided what came after this round, such as `S3`, `V3-threshold`, `S7-stalled`. */
  readonly rule: string;
}

export interface PostCopyReport {
  /** Pages on the list of missing pages that the destination got at the switchover. */
  readonly missingPages: number;
  readonly faults: number;
  readonly faultMicrosecondsP50: number;
  readonly faultMicrosecondsP99: number;
  /** Pages that came by background paging rather than by a fault. */
  readonly pushedPages: number;
  /** From resume until the last page was there: how long the VM depended on the source. */
  readonly residentMs: number;
  /** How often the connection was cut and re-established after the commit. */
  readonly reconnects: number;
}

/** What became of one disk. */
export interface DiskReport {
  readonly name: string;
  /** `shared`: the same image at both hosts. */
  readonly how: 'shared' | 'pre-copy';
  readonly from: string;
  /** Its image at the destination. */
  readonly to: string;
  /** What the guest sees of it. */
  readonly bytes: number;
  /** In both directions. */
  readonly wireBytes: number;
  /** From the beginning of its copy until the VM stood still, or the copy ended. */
  readonly ms: number;
  readonly bytesPerSecond: number;
  /** How it was kept up to date in the end; null: it was not copied. */
  readonly copyMode: 'background' | 'write-blocking' | null;
  /** For the last blocks, while the VM stood still and its last pages were sent; null: it did not come to that. */
  readonly finishMs: number | null;
}

export interface VerifyReport {
  readonly scheme: string;
  readonly pages: number;
  readonly equal: boolean;
}

/** A program of the administrator's that this host ran for the migration. */
export interface HookReport {
  readonly hook: string;
  readonly ms: number;
  /** null: it ended with status 0. */
  readonly problem: string | null;
}

/** How the pages that the VM wrote were found. */
export interface TrackerReport {
  /** `none`: nothing was tracked, in pure post-copy, or because it ended before. */
  readonly kind: TrackerFacts['kind'] | 'none';
  /** Why it is not the one that was asked for; null when it is. */
  readonly reason: string | null;
  readonly groups: TrackerFacts['groups'];
}

/** What became of the requests that a disk had under way when the VM was stopped (M3). */
export interface DiskRequestReport {
  /** QEMU's name of the device. */
  readonly disk: string;
  readonly image: string;
  /** Reads, writes and flushes that were cancelled here and sent again there. */
  readonly cancelled: number;
  /** Why others were waited for, if there were any; null: none had to be. */
  readonly drained: string | null;
}

export const NOTHING_TRACKED: TrackerReport = { kind: 'none', reason: null, groups: null };

export interface MigrationReport {
  readonly id: string;
  readonly vm: string;
  readonly from: string;
  readonly to: string;
  readonly mode: MigrationMode;
  readonly outcome: MigrationOutcome;
  readonly error: ErrorBody | null;
  /** The daemon of this side, or its thread, died on the way and the next one went on: what was counted before is not in here. */
  readonly interrupted: boolean;
  /** Unix time, milliseconds. */
  readonly startedAt: number;
  readonly totalMs: number;
  /** Last guest instruction at the source to the first at the destination; null if the VM never moved. */
  readonly downtimeMs: number | null;
  /** When all was to be over, milliseconds since the start (G7); null: nothing was promised, or this is the destination. */
  readonly finishByMs: number | null;
  /** What the downtime, without digests, was not to be predicted above when the VM was stopped; null where that is not known. */
  readonly downtimeLimitMs: number | null;
  readonly downtimeParts: DowntimeParts | null;
  /** Bytes in both directions on all connections of this migration. */
  readonly wireBytes: number;
  readonly ramBytes: number;
  readonly pages: {
    readonly total: number;
    /** Never touched: not even looked at. */
    readonly hole: number;
    readonly zero: number;
    readonly sent: number;
    /** Sent more than once. */
    readonly resent: number;
  };
  /** At the destination none. */
  readonly disks: readonly DiskReport[];
  /** What the steps of packing did; null at the destination, which does not know. */
  readonly packing: PackingCounts | null;
  readonly tracker: TrackerReport;
  readonly rounds: readonly RoundReport[];
  /** What was predicted, and how it compares; null at the destination, and when nothing was. */
  readonly prediction: PredictionReport | null;
  readonly throttle: {
    readonly mechanism: string;
    readonly maxPercent: number;
    /** Milliseconds during which the vCPUs were slowed at all. */
    readonly activeMs: number;
  };
  /** null when no page was missing at the switchover. */
  readonly postCopy: PostCopyReport | null;
  /** null without `--verify`. */
  readonly verify: VerifyReport | null;
  /**
   * Frames that this host has sent to tell the network that the VM is here; the last one second after it resumed. null: the
   * VM did not come to run here.
   */
  readonly announcements: number | null;
  /** Of this host. */
  readonly hooks: readonly HookReport[];
  /** Of each disk that the VM may change; empty at the destination, which does not know. */
  readonly diskRequests: readonly DiskRequestReport[];
  /** One of the two hosts of this VM that may run it now. */
  readonly owner: string;
  /** The downtime's uncertainty: half the round trip over which the two clocks were compared, milliseconds. */
  readonly clockUncertaintyMs: number;
}
