/**
 * What the planner answers: what starts now, what later and why not now, what never.
 *
 * Owns: the shapes. Pure.
 */
import type { Bottleneck } from './bandwidth-allocator.ts';
import type { Route } from './fleet-state.ts';
import type { Prediction, VmPrediction } from './group-prediction.ts';

/** Why a VM that could start otherwise does not start now. */
export type Wait =
  | { readonly kind: 'bandwidth'; readonly bottleneck: Bottleneck; readonly behind: readonly string[] }
  | { readonly kind: 'memory'; readonly host: string; readonly neededBytes: number; readonly freeBytes: number }
  /** Its rhythm; the factors are those of its mean rate. */
  | { readonly kind: 'quiet'; readonly untilMs: number; readonly factorNow: number; readonly factorThen: number }
  /** Another VM is just bringing what it has in common with it. */
  | { readonly kind: 'contents'; readonly vm: string }
  /** The way is kept for a VM whose quiet phase begins. */
  | { readonly kind: 'keepsFree'; readonly vm: string; readonly untilMs: number }
  /** After a failure. */
  | { readonly kind: 'retry'; readonly untilMs: number; readonly reason: string }
  /** It could start; others come first. */
  | { readonly kind: 'turn' };

export interface PlannedMove extends Route {
  readonly vm: string;
  /** Number of its group in the plan. */
  readonly group: number;
  /** Where it goes in the end, when this is a detour that makes room for others; else null. */
  readonly detourTo: string | null;
  readonly startsAtMs: number;
  /** By p50. */
  readonly endsAtMs: number;
  /** That it is expected to use, and the most that it may: what its way has beside reservations and other migrations. */
  readonly bytesPerSecond: number;
  readonly limitBytesPerSecond: number;
  readonly prediction: VmPrediction;
  /** Milliseconds from its start by which it has to be over for the deadline to hold; null: nothing is promised. */
  readonly finishByMs: number | null;
  /** null: now. */
  readonly wait: Wait | null;
}

export type Refusal =
  /** Pre-copy would not converge and nothing else is allowed. */
  | { readonly kind: 'cannotConverge' }
  | { readonly kind: 'noRoom'; readonly neededBytes: number; readonly freeBytes: number }
  /** It would not be there in time. */
  | { readonly kind: 'tooLate'; readonly deadlineAtMs: number; readonly p90Ms: number }
  | { readonly kind: 'parked'; readonly reason: string }
  | { readonly kind: 'failed'; readonly attempts: number; readonly reason: string }
  /** No way with any bandwidth, or room that never comes. */
  | { readonly kind: 'stuck'; readonly wait: Wait | null };

export interface PlannedGroup extends Route {
  /** In the order in which they go. */
  readonly vms: readonly string[];
  readonly prediction: Prediction;
  /** Pages that cross as names because the destination holds their contents by then. */
  readonly heldPages: number;
  readonly pages: number;
}

export interface FleetPlan {
  readonly madeAtMs: number;
  /** In order of their starts: those without a `wait` are to be started now. */
  readonly moves: readonly PlannedMove[];
  readonly groups: readonly PlannedGroup[];
  readonly refused: readonly { readonly vm: string; readonly why: Refusal }[];
  /** Those that will be there too late, the last first; `byMs` at the median. */
  readonly late: readonly { readonly vm: string; readonly byMs: number }[];
  /** From now until all is over, those that are running included. */
  readonly makespanMs: number;
  /** No plan with these predictions is over sooner. */
  readonly lowerBoundMs: number;
  /** The same of plans that wait for the quiet phases that this one waits for, which they need not. */
  readonly quietBoundMs: number;
  /** Ask again then, if nothing happens before; null: only something that happens changes the plan. */
  readonly askAgainAtMs: number | null;
}
