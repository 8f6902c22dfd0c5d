/**
 * How the destination parts from a VM that it will not run: it cleans up, or says that the VM is lost.
 *
 * Owns: what is said to the source then, and the answers to a source that asks again. Pure; the rules of handover.ts
 * hold for the effects. Must hold: nothing is cleaned up between `loaded` and the source's word, unless QEMU has ended.
 */
import type { ErrorBody } from '../base/errors.ts';
import { type DestinationEffect, lossOf, refused, stepped } from './handover.ts';
import {
  advanceTo,
  type DestinationState,
  type DestinationStep,
  finish,
  identityOf,
  isBeforePromise,
  recordEnd,
} from './handover-destination-state.ts';

/** The source takes the VM back. */
export function receiveAbort(
  state: DestinationState,
  phase: 'failed' | 'cancelled',
  error: ErrorBody,
): DestinationStep {
  if (isBeforePromise(state) || state.phase === 'loaded') return cleanUp(state, phase, error, 'aborted');
  if (state.phase === 'failed' || state.phase === 'cancelled') {
    return stepped(state, { kind: 'send', message: { kind: 'aborted' } });
  }
  return refused(state.phase, 'abort');
}

/** The source says that pages which we may lack are gone. */
export function receiveFailed(state: DestinationState, error: ErrorBody): DestinationStep {
  switch (state.phase) {
    case 'loaded':
      return lose(state, error, { kind: 'discardGuest' });
    case 'resuming':
      return state.pagesMissing ? lose(state, error) : stepped(state);
    case 'pagingIn':
      return lose(state, error);
    case 'done':
      return stepped(state, { kind: 'send', message: { kind: 'allPresent' } });
    case 'failed':
    case 'cancelled':
    case 'lost':
      return stepped(state, sayFailed(state));
    default:
      return refused(state.phase, 'failed');
  }
}

/** The answer to whoever asks again. */
export function sayFailed({ phase, error }: Extract<DestinationState, { error: ErrorBody }>): DestinationEffect {
  return { kind: 'send', message: { kind: 'failed', owned: phase === 'lost', error } };
}

/** QEMU has ended. */
export function loseGuest(state: DestinationState, error: ErrorBody): DestinationStep {
  if (isBeforePromise(state) || state.phase === 'loaded') return cleanUp(state, 'failed', error);
  if (state.phase === 'resuming' || state.phase === 'pagingIn') return lose(state, error);
  return stepped(state);
}

/** Nothing of the VM stays here. */
export function cleanUp(
  state: DestinationState,
  phase: 'failed' | 'cancelled',
  error: ErrorBody,
  why: 'here' | 'refused' | 'aborted' | 'unheard' = 'here',
): DestinationStep {
  const outcome = why === 'refused' ? 'refused' : phase;
  const effects: DestinationEffect[] = [{ kind: 'discardGuest' }, recordEnd(outcome, error)];
  if (why === 'refused') effects.push({ kind: 'send', message: { kind: 'refused', error } });
  if (why === 'aborted') effects.push({ kind: 'send', message: { kind: 'aborted' } });
  if (why === 'here') effects.push({ kind: 'send', message: { kind: 'failed', owned: false, error } });
  effects.push(finish(outcome, error));
  return stepped({ ...identityOf(state), phase: advanceTo(state, phase), error }, ...effects);
}

/** After the source gave the VM away it cannot go on here. */
function lose(state: DestinationState, error: ErrorBody, ...first: DestinationEffect[]): DestinationStep {
  return stepped(
    { ...identityOf(state), phase: advanceTo(state, 'lost'), error },
    ...first,
    recordEnd('lost', error),
    { kind: 'send', message: { kind: 'failed', owned: true, error } },
    finish('lost', lossOf(state.vm, error)),
  );
}
