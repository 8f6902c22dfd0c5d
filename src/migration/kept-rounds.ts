/**
 * The rounds of a migration that is told to wait (`--finish-by 24h`): a day has half a million.
 *
 * Must hold: the first ones, by which the first pass is judged, and the last ones, by which decisions are made, are kept; those
 * that are left out show by the numbers of the others.
 */

export const KEPT_FIRST_ROUNDS = 100;
export const KEPT_LAST_ROUNDS = 400;

/** All that there were. */
export function countRounds(rounds: readonly { readonly number: number }[]): number {
  return rounds.at(-1)?.number ?? 0;
}

export function keepRound<Round>(rounds: Round[], round: Round): void {
  rounds.push(round);
  if (rounds.length > KEPT_FIRST_ROUNDS + KEPT_LAST_ROUNDS) rounds.splice(KEPT_FIRST_ROUNDS, 1);
}
