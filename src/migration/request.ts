/**
 * What a migration is asked to do.
 *
 * Owns: the options of one migration, their defaults and the reason for each default. Everything in `Tunable` may be
 * changed while the migration runs.
 */

import type { PackingStep } from '../base/packing-step.ts';

/** `auto` starts with pre-copy, throttles, and goes to post-copy when pre-copy will not converge (V5, S7). */
export type MigrationMode = 'auto' | 'pre-copy' | 'post-copy' | 'hybrid';

export const MIGRATION_MODES: readonly MigrationMode[] = ['auto', 'pre-copy', 'post-copy', 'hybrid'];

/**
 * `shared`: every disk must be proved to be the same at the destination. `pre-copy`: all are copied while the VM runs.
 * `auto`: those that are not proved to be the same are.
 */
export type DiskMode = 'auto' | 'shared' | 'pre-copy';

export const DISK_MODES: readonly DiskMode[] = ['auto', 'shared', 'pre-copy'];

/** What becomes of the image of a disk that was copied, once the VM has left for good. */
export type SourceDisks = 'keep' | 'delete';

export const SOURCE_DISKS: readonly SourceDisks[] = ['keep', 'delete'];

/** What happens when `timeoutMs` runs out before the commit. */
export type TimeoutAction = 'post-copy' | 'cancel' | 'pause';

export const TIMEOUT_ACTIONS: readonly TimeoutAction[] = ['post-copy', 'cancel', 'pause'];

/** The constants of rules S3–S5; see `throttle.ts`. */
export interface ThrottleOptions {
  readonly enabled: boolean;
  /** S3: slow down when transmission rate ÷ modification rate is at or below this. */
  readonly minRatio: number;
  /** S4: slow down when fewer pages a second than this are sent; 0 switches the rule off. */
  readonly minPagesPerSecond: number;
  /** S5: slow down from the start when the history shows more modified pages a second than this; 0 = off. */
  readonly historyPagesPerSecond: number;
  /** The strongest slowdown, in percent of the vCPUs' time. */
  readonly maxPercent: number;
}

/** Others are to switch over at about the same moment: what is ready waits until it is told to go on. */
export interface HoldOptions {
  /** Milliseconds since it is ready; then it goes on by itself. */
  readonly atMostMs: number;
}

/** As long as the others may be behind where nobody knows better. */
export const DEFAULT_HOLD_MS = 30_000;
/** A VM that waits for longer is sent over and over for nothing. */
export const LONGEST_HOLD_MS = 300_000;

export interface Tunable {
  /** Bytes a second on the wire; 0 = unlimited. */
  readonly bandwidthBytesPerSecond: number;
  /** The downtime that stop-and-finish may be predicted to take, milliseconds. */
  readonly maxDowntimeMs: number;
  /**
   * Milliseconds from the start until all is over, the last page at the destination and the source released: post-copy
   * begins in time for that (G7). 0 = no such promise.
   */
  readonly finishByMs: number;
}

export interface MigrationOptions extends Tunable {
  readonly mode: MigrationMode;
  /** Milliseconds from the start until `onTimeout` happens; 0 = never. */
  readonly timeoutMs: number;
  readonly onTimeout: TimeoutAction;
  /** null: it goes on as soon as it can. */
  readonly hold: HoldOptions | null;
  /** Compare digests of all guest memory on both sides (G6). */
  readonly verify: boolean;
  readonly throttle: ThrottleOptions;
  /** Connections that carry pages side by side; 0: as many as are best. */
  readonly connections: number;
  /** Steps that pages do not go through on their way. */
  readonly without: readonly PackingStep[];
  /** How written pages are found: `kernel` (by groups where the kernel cannot), `groups`, `groups:auto`, `groups:N`. */
  readonly tracker: string;
  readonly disks: DiskMode;
  /** Where disks are to be at the destination, by their names; others are at the same path or where that host makes images. */
  readonly diskPaths: Readonly<Record<string, string>>;
  readonly sourceDisks: SourceDisks;
}

export const DEFAULT_MIGRATION_OPTIONS: MigrationOptions = {
  mode: 'auto',
  bandwidthBytesPerSecond: 0,
  // Short enough that an open TCP connection and a person notice nothing; QEMU's own default is 300 ms.
  maxDowntimeMs: 50,
  finishByMs: 0,
  timeoutMs: 0,
  onTimeout: 'post-copy',
  hold: null,
  verify: false,
  // minRatio 5 is the design's own constant (S3): below it a round leaves more than a fifth of what it sent.
  // maxPercent 99: a cgroup quota of 1 ms in 100 ms is the smallest that the kernel takes at that period.
  throttle: { enabled: true, minRatio: 5, minPagesPerSecond: 0, historyPagesPerSecond: 20_000, maxPercent: 99 },
  connections: 0,
  without: [],
  // Wherever nobody has to be asked before a page is written, the kernel's own bits are cheaper (docs/performance.md).
  tracker: 'kernel',
  disks: 'auto',
  diskPaths: {},
  // A copy can be looked at before the original goes; nobody gets back what was deleted too early.
  sourceDisks: 'keep',
};
