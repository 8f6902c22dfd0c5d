/**
 * How the source parts from a migration: it takes the VM back, frees it after the last page, says that pages are gone, or
 * frees what is left of a VM that was lost.
 *
 * Owns: what is still owed to the destination then, and when that is heard. Pure; the rules of handover.ts hold for the
 * effects. Must hold: an abort is owed until the destination has answered, once it may hold a loaded VM.
 */
import type { ErrorBody } from '../base/errors.ts';
import { type DestinationMessage, lossOf, orphanOf, refused, type SourceEffect, stepped } from './handover.ts';
import {
  advanceTo,
  type BeforeCommit,
  commonPart,
  type Farewell,
  finish,
  type GivenAway,
  isBeforeCommit,
  recordEnd,
  type SourceState,
  type SourceStep,
} from './handover-source-state.ts';

/**
 * Back to how it was. The abort is owed only once the destination may hold a loaded VM, that is from the switchover on;
 * before it the destination cleans up by itself when the connection ends.
 * @param why - `refused`: the destination never began; `gone`: it has cleaned up and said so; `guest`: no VM to resume
 */
export function takeBack(
  state: BeforeCommit,
  phase: 'failed' | 'cancelled',
  error: ErrorBody,
  why: 'here' | 'refused' | 'gone' | 'guest' | 'connection' = 'here',
): SourceStep {
  const told = why === 'refused' || why === 'gone';
  const connected = state.connected && why !== 'connection';
  const owed = state.phase === 'stopping' && !told;
  const outcome = why === 'refused' ? 'refused' : phase;
  const cancelled = phase === 'cancelled';
  const effects: SourceEffect[] = [];
  // First, because continuing the VM can take its time, and without `committed` it is this host's whatever happens meanwhile.
  if (!told && connected) effects.push({ kind: 'send', message: { kind: 'abort', cancelled, error } });
  effects.push(
    { kind: 'rollBack', resume: state.phase === 'stopping' && state.wasRunning && why !== 'guest' },
    owed
      ? { kind: 'writeJournal', record: { side: 'source', kind: 'rolledBack', cancelled, error } }
      : recordEnd(outcome),
  );
  if (owed && !connected) effects.push({ kind: 'redial' });
  effects.push(finish(outcome, error));
  return stepped({ ...commonPart(state), phase: advanceTo(state, phase), connected, owed, error }, ...effects);
}

/** The destination has every page. */
export function release(state: GivenAway | Farewell): SourceStep {
  return stepped(
    { ...commonPart(state), phase: advanceTo(state, 'released') },
    { kind: 'writeJournal', record: { side: 'source', kind: 'released' } },
    { kind: 'send', message: { kind: 'release' } },
    { kind: 'discardGuest' },
    recordEnd('completed'),
    finish('completed', null),
  );
}

/**
 * Both sides know that the VM is lost. What is left of it here was given away and may never run again, so it is of no
 * use to anybody. It is freed before the last record: after a crash in between the destination says the same again.
 */
export function bury(state: Farewell): SourceStep {
  const { vm, error } = state;
  return stepped(
    { ...state, owed: false },
    { kind: 'discardGuest' },
    recordEnd('lost'),
    finish('lost', lossOf(vm, error)),
  );
}

/**
 * The destination was given the VM and could not take it: there it never ran and never will. Here it is, as it was at
 * the stop. What was given away is not taken back by itself: a person decides.
 */
export function keep({ vm, error, ...state }: Farewell): SourceStep {
  const outcome = 'lost';
  return stepped(
    { ...state, vm, error, owed: false },
    { kind: 'keepGuest' },
    recordEnd(outcome),
    finish(outcome, orphanOf(vm, error)),
  );
}

/** QEMU has ended. */
export function loseGuest(state: SourceState, error: ErrorBody): SourceStep {
  if (isBeforeCommit(state)) return takeBack(state, 'failed', error, 'guest');
  if ((state.phase !== 'committed' && state.phase !== 'serving') || !state.pagesMissing) return stepped(state);
  // Not finished yet: the destination may have said `allPresent` a moment ago, and then nothing is lost.
  return stepped(
    { ...commonPart(state), phase: advanceTo(state, 'lost'), owed: true, error },
    { kind: 'writeJournal', record: { side: 'source', kind: 'lost', error } },
    { kind: 'send', message: { kind: 'failed', error } },
  );
}

/** Answers to the abort (or, after `lost`, to the failure), and what was on its way when it was sent. */
export function receiveFarewell(state: Farewell, message: DestinationMessage): SourceStep {
  const gone = message.kind === 'unknown' || message.kind === 'failed';
  if (state.phase === 'lost') {
    if (message.kind === 'allPresent') return state.owed ? release(state) : refused(state.phase, message.kind);
    if (gone && state.owed) return bury(state);
    return message.kind === 'resumed' || gone ? stepped(state) : refused(state.phase, message.kind);
  }
  if (message.kind === 'resumed' || message.kind === 'allPresent') return refused(state.phase, message.kind);
  if (state.owed && (gone || message.kind === 'aborted')) {
    return stepped({ ...state, owed: false }, recordEnd(state.phase));
  }
  return stepped(state);
}

/** What is owed, said again. */
export function farewell(state: Farewell): Extract<SourceEffect, { kind: 'send' }>['message'] {
  if (state.phase === 'lost') return { kind: 'failed', error: state.error };
  return { kind: 'abort', cancelled: state.phase === 'cancelled', error: state.error };
}
