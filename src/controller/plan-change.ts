/**
 * Whether a plan says something new.
 *
 * Pure. Must hold: what is only counted from another moment is nothing new, and what shifts little by little is, in the end.
 */
import type { FleetPlan, PlannedMove } from '../fleet/plan.ts';

/** Predictions move by so much from look to look. */
const SAME_MS = 1000;

/** @param before - the one that was shown last; null: none was */
export function isNewPlan(before: FleetPlan | null, now: FleetPlan): boolean {
  if (before === null || before.moves.length !== now.moves.length) return true;
  if (isOtherEnd(before, now) || wordsOf(before) !== wordsOf(now)) return true;
  return now.moves.some((move, index) => isNewMove(before.moves[index]!, move));
}

function isNewMove(before: PlannedMove, now: PlannedMove): boolean {
  return !isAbout(before.startsAtMs, now.startsAtMs) || !isAbout(before.endsAtMs, now.endsAtMs);
}

/** All that it says but for times and amounts. */
function wordsOf({ moves, refused }: FleetPlan): string {
  return JSON.stringify([
    moves.map(({ vm, to, detourTo, wait }) => [vm, to, detourTo, wait?.kind ?? null]),
    refused.map(({ vm, why }) => [vm, why.kind, 'reason' in why ? why.reason : null]),
  ]);
}

/** Of what is late the end moves on with each plan: that is news only to those that wait for it. */
function isOtherEnd(before: FleetPlan, now: FleetPlan): boolean {
  if (now.moves.length === 0) return false;
  return !isAbout(before.madeAtMs + before.makespanMs, now.madeAtMs + now.makespanMs);
}

function isAbout(oneMs: number, otherMs: number): boolean {
  return Math.abs(oneMs - otherMs) <= SAME_MS;
}
