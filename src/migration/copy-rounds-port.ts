/**
 * What rounds of pre-copy need of the VM and of the migration, what they tell, and what comes of them.
 */
import type { PageRun } from '../base/page.ts';
import type { DirtyTracker } from '../memory/dirty-tracker.ts';
import type { RamLayout } from '../memory/layout.ts';
import type { PageHeat } from '../memory/page-heat.ts';
import type { Decision } from './decision.ts';
import type { DowntimeCosts, RoundFacts } from './dirty-estimate.ts';
import type { Interruption } from './interruption.ts';
import type { PageSender } from './page-sender.ts';
import type { RoundReport } from './report.ts';
import type { MigrationOptions } from './request.ts';
import type { LinkCounts, RoundWatch } from './round-watch.ts';
import type { SourceHold } from './source-hold.ts';

/** What the rounds need of the VM. */
export interface RoundsGuest {
  readonly layout: Pick<RamLayout, 'pageCount'>;
  readonly tracker: Pick<DirtyTracker, 'collect' | 'peek' | 'setBudget'>;
  readonly throttlePercent: number;
}

export type RoundsHold = Pick<SourceHold, 'decide' | 'isWaitedFor' | 'mayRest' | 'rest' | 'roundEnded'>;

export interface CopyRoundsPort {
  readonly guest: RoundsGuest;
  /** The pages that hold anything, looked up since writes are noticed: one that was empty then is found as written. */
  readonly dataRuns: readonly PageRun[];
  readonly sender: PageSender;
  readonly signal: AbortSignal;
  /** Read before every decision: they can be tuned. */
  options(): MigrationOptions;
  readonly costs: DowntimeCosts;
  readonly canPostCopy: boolean;
  readonly startedMs: number;
  readonly wasRunning: boolean;
  /** Resolves when the destination has everything of this round, with the pages that were named and it does not hold. */
  endRound(round: number): Promise<RoundEnd>;
  /** Slows the vCPUs by so many percent. */
  slow(percent: number): void;
  /** Of the connection that the pages go over. */
  linkCounts(): LinkCounts;
  /** Keeps it from going on while others are not as far. */
  readonly hold: RoundsHold;
  /** What must happen at once, in the middle of a round: `switch-postcopy` was asked for, or the time is up. */
  interruption(): Interruption | null;
  /** Copying begins; so many pages were never touched. */
  onBegin(holePages: number): void;
  onRound(round: RoundReport, decision: Decision): void;
  onProgress(state: RoundsState): void;
}

/** What the destination has to say of a round. */
export interface RoundEnd {
  /** Were named, and it does not hold them. */
  readonly missed: readonly PageRun[];
  /** For pages that other VMs were to bring: the link had nothing to do with it. */
  readonly waitedMs: number;
}

export interface RoundsState {
  readonly round: number;
  readonly remainingPages: number;
  readonly decision: Decision;
  /** As they were when the round began. */
  readonly facts: RoundFacts;
  /** Of the round that is underway; of one that is not begun `null`. */
  readonly watch: RoundWatch | null;
}

export interface CopyResult {
  readonly kind: 'finish' | 'postCopy';
  /** The time is up: the VM is to be stopped for as long as the rest takes (`--on-timeout pause`). */
  readonly isPaused: boolean;
  /** Pages still to be sent, as far as known; more may have been written since. */
  readonly remaining: readonly PageRun[];
  /** As each round found what was written in it; null without rounds. */
  readonly heat: PageHeat | null;
}
