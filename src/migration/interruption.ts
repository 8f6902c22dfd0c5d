/**
 * What ends the rounds of pre-copy in the middle of one, and what is decided then.
 */
import { decide } from './convergence.ts';
import { type Decision, postCopy } from './decision.ts';
import type { RoundFacts } from './dirty-estimate.ts';

/**
 * Why a round is cut short. `asked`, `timeout` and `finishBy`: post-copy, at once; `pause`: the time is up, and the VM is
 * stopped and all that is left is sent.
 */
export type Interruption = 'asked' | 'timeout' | 'finishBy' | 'pause';

/** The decision that an interruption makes out of any other. */
export function forced(interruption: Interruption, facts: RoundFacts): Decision {
  if (interruption === 'finishBy') return postCopy(facts, 'G7-finish-by');
  const { predictedDowntimeMs, etaMs } = decide(facts);
  const rule = interruption === 'asked' ? 'asked' : 'deadline';
  const base = { throttlePercent: 0, rule, predictedDowntimeMs, etaMs } as const;
  if (interruption === 'pause') {
    return { ...base, kind: 'finish', verdict: { kind: 'finishing', text: 'Time is up: stopping the VM to finish' } };
  }
  return { ...base, kind: 'postCopy', verdict: { kind: 'switching', text: 'Switching to post-copy now' } };
}
