/**
 * The rule `hold`: what could finish, or switch to post-copy, is kept where it is until others are as far (docs/fleet.md, `--together`).
 *
 * Owns: what is decided instead, and what the hold ends with. Pure. Must hold: without a hold, before it is ready, and from the moment a
 * deadline speaks, all is as convergence.ts decides; a held VM is not slowed; what it was ready for it goes on with.
 */
import { checkDeadline } from './convergence.ts';
import { type Decision, holdBack, nextRound, postCopy, type Rule } from './decision.ts';
import type { RoundFacts } from './dirty-estimate.ts';

/** What it could have gone on with, and since when. */
export interface HeldReadiness {
  /** As `elapsedMs` of the facts. */
  readonly sinceMs: number;
  readonly kind: 'finish' | 'postCopy';
  readonly rule: Rule;
}

export interface HoldState {
  /** Since it was ready. */
  readonly atMostMs: number;
  /** null: it was not yet. */
  readonly readiness: HeldReadiness | null;
  /** It was told to go on. */
  readonly isReleased: boolean;
  /** The VM has written since the last round ended, for longer than a round: that says nothing of how rounds get on. */
  readonly hasRested: boolean;
}

/** @param decision - what convergence.ts says of these facts */
export function underHold(decision: Decision, facts: RoundFacts, state: HoldState): Decision {
  const { readiness, isReleased, hasRested } = state;
  if (checkDeadline(facts) !== null) return decision;
  if (readiness === null) return isReleased || readinessOf(decision, facts) === null ? decision : holdBack(facts);
  if (!isReleased && !isOverdue(facts, state)) return holdBack(facts);
  if (decision.kind === 'finish') return decision;
  // Rounds had shown that more of them are of no use.
  if (readiness.kind === 'postCopy') return postCopy(facts, readiness.rule);
  return hasRested ? nextRound(facts, 0, 'hold') : decision;
}

/** null: it is not ready. */
export function readinessOf({ kind, rule }: Decision, { elapsedMs }: RoundFacts): HeldReadiness | null {
  return kind === 'finish' || kind === 'postCopy' ? { sinceMs: elapsedMs, kind, rule } : null;
}

/** It has been held for as long as was asked for. */
export function isOverdue({ elapsedMs }: Pick<RoundFacts, 'elapsedMs'>, { readiness, atMostMs }: HoldState): boolean {
  return readiness !== null && elapsedMs - readiness.sinceMs >= atMostMs;
}
