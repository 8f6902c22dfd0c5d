/**
 * What a running migration tells: phase changes and progress samples.
 *
 * Owns: the events that go from a migration worker to the host daemon and on to every watcher.
 * Must hold: `percent` never goes down; numbers are measured, except `etaMs`, `predictedDowntimeMs` and `prediction`.
 */
import type { ProcessIdentity } from '../linux/process.ts';
import type { Prediction } from './prediction.ts';
import type { MigrationReport } from './report.ts';
import type { MigrationOptions } from './request.ts';
import type { WatchedRegion } from './shared-part.ts';

export type SourcePhase =
  | 'preparing'
  | 'copying'
  | 'stopping'
  | 'committed'
  | 'serving'
  | 'released'
  | 'failed'
  | 'cancelled'
  | 'lost';
export type DestinationPhase =
  | 'preparing'
  | 'waiting'
  | 'receiving'
  | 'loaded'
  | 'resuming'
  | 'pagingIn'
  | 'done'
  | 'failed'
  | 'cancelled'
  | 'lost';

/** Which way it goes, in one word, and why in one sentence. */
export interface Verdict {
  readonly kind:
    | 'starting'
    | 'disks'
    | 'converging'
    | 'throttling'
    | 'stalled'
    | 'ready'
    | 'switching'
    | 'paging'
    | 'finishing';
  readonly text: string;
}

/** A disk that is being copied. */
export interface DiskProgress {
  readonly name: string;
  /** Of what there is to copy, which grows as the VM writes. */
  readonly totalBytes: number;
  readonly copiedBytes: number;
  /** On the wire, since its copy began. */
  readonly bytesPerSecond: number;
}

export interface MigrationProgress {
  readonly phase: SourcePhase | DestinationPhase;
  readonly round: number;
  /** 0–100, phase-weighted, never falls. */
  readonly percent: number;
  readonly sentBytes: number;
  readonly remainingBytes: number;
  readonly ramBytes: number;
  readonly bytesPerSecond: number;
  readonly dirtyBytesPerSecond: number;
  readonly throttlePercent: number;
  readonly etaMs: number | null;
  readonly predictedDowntimeMs: number | null;
  /** Of the whole migration; null at the destination, and while nothing can be said. */
  readonly prediction: Prediction | null;
  /** What it waits for, when it waits: `connection`, or null. */
  readonly waitingFor: string | null;
  /** It could switch over, and is held until it is told to go on. */
  readonly isReady: boolean;
  /** Those that are copied. */
  readonly disks: readonly DiskProgress[];
  readonly verdict: Verdict;
}

export type MigrationEvent =
  | { readonly kind: 'phaseChanged'; readonly phase: SourcePhase | DestinationPhase; readonly atMs: number }
  | { readonly kind: 'progressed'; readonly progress: MigrationProgress }
  /** At the source: the VM stands, and nothing of it runs here; told once more when its state is saved. */
  | { readonly kind: 'guestStands' }
  /** At the destination: the memory of this QEMU is filled from now on. */
  | { readonly kind: 'qemuStarted'; readonly qemu: ProcessIdentity }
  /** At the destination: the memory that the VM shares with others, before QEMU loads it. */
  | {
      readonly kind: 'regionsWatched';
      readonly qemu: ProcessIdentity;
      readonly regions: readonly WatchedRegion[];
      /** [0] is set to 1, and notified, when all of them are looked after; QEMU is not let on before. */
      readonly taken: Int32Array<SharedArrayBuffer>;
    }
  | { readonly kind: 'noted'; readonly level: 'info' | 'warn'; readonly text: string }
  | { readonly kind: 'ended'; readonly report: MigrationReport };

export type MigrationCommand =
  | { readonly kind: 'cancel' }
  | { readonly kind: 'switchPostCopy' }
  /** It is held no more, or will not be. */
  | { readonly kind: 'go' }
  /** Its group needs it at the destination: the VM is stopped now, whatever is left to be sent. */
  | { readonly kind: 'hurry' }
  | {
      readonly kind: 'tune';
      readonly bandwidthBytesPerSecond?: number;
      readonly maxDowntimeMs?: number;
      readonly timeoutMs?: number;
      readonly onTimeout?: MigrationOptions['onTimeout'];
      readonly finishByMs?: number;
    };
