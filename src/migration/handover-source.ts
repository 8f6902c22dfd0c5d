/**
 * The source's half of the handover: a pure step function from state and event to state and effects.
 *
 * Owns: when the source stops, gives away, takes back or frees the VM. The rules of handover.ts hold for its effects.
 * Must hold: `resume: true` and `committed` exclude each other in every run, crashes included.
 */
import { type ErrorBody, GodwitError } from '../base/errors.ts';
import { type DestinationMessage, type HandoverIdentity, refused, type SourceEffect, stepped } from './handover.ts';
import { bury, farewell, keep, loseGuest, receiveFarewell, release, takeBack } from './handover-source-farewell.ts';
import {
  advanceTo,
  commonPart,
  type GivenAway,
  isBeforeCommit,
  type SourceEvent,
  type SourceState,
  type SourceStep,
} from './handover-source-state.ts';
import { isGivenAway } from './phases.ts';

/** The first step: the connection is up, nothing was said. */
export function startSource(identity: HandoverIdentity): { state: SourceState; effects: readonly SourceEffect[] } {
  return {
    state: { ...identity, phase: 'preparing', connected: true },
    effects: [
      { kind: 'writeJournal', record: { side: 'source', kind: 'offered', ...identity } },
      { kind: 'send', message: { kind: 'offer' } },
    ],
  };
}

export function stepSource(state: SourceState, event: SourceEvent): SourceStep {
  switch (event.kind) {
    case 'received':
      return receive(state, event.message);
    case 'switchoverDecided':
      return switchOver(state, event);
    case 'cancelled':
      if (isBeforeCommit(state)) return takeBack(state, 'cancelled', cancelledError());
      return refused(state.phase, event.kind, isGivenAway(state.phase) ? 'GW_MIGRATION_TOO_LATE' : 'GW_PHASE_REFUSED');
    case 'failed':
      return isBeforeCommit(state) ? takeBack(state, 'failed', event.error) : refused(state.phase, event.kind);
    case 'guestLost':
      return loseGuest(state, event.error);
    case 'connectionLost':
      return loseConnection(state, event.error);
    case 'connected':
      return reconnect(state);
  }
}

function receive(state: SourceState, message: DestinationMessage): SourceStep {
  switch (state.phase) {
    case 'preparing':
      if (message.kind === 'ready') return stepped({ ...state, phase: advanceTo(state, 'copying') });
      if (message.kind === 'notReady') return stepped(state, { kind: 'offerLater' });
      if (message.kind === 'refused') return takeBack(state, 'failed', message.error, 'refused');
      break;
    case 'stopping':
      if (message.kind === 'loaded') return commit(state);
      break;
    case 'committed':
    case 'serving':
      return receiveGivenAway(state, message);
    case 'released':
      if (message.kind === 'resumed' || message.kind === 'allPresent') return stepped(state);
      break;
    case 'failed':
    case 'cancelled':
    case 'lost':
      return receiveFarewell(state, message);
  }
  if (message.kind === 'failed' && isBeforeCommit(state)) return takeBack(state, 'failed', message.error, 'gone');
  return refused(state.phase, message.kind);
}

function receiveGivenAway(state: GivenAway, message: DestinationMessage): SourceStep {
  switch (message.kind) {
    case 'resumed': {
      const phase = state.pagesMissing && state.phase === 'committed' ? advanceTo(state, 'serving') : state.phase;
      return stepped({ ...state, phase, resumedAtMs: message.resumedAtMs });
    }
    case 'allPresent':
      return release(state);
    case 'failed': {
      const end = message.owned ? bury : keep;
      return end({ ...commonPart(state), phase: advanceTo(state, 'lost'), owed: true, error: message.error });
    }
    case 'unknown':
      // Another host at that address, or one that lost its disk. The VM may run elsewhere: only asking again is safe.
      return stepped({ ...state, connected: false }, { kind: 'redial' });
    default:
      return refused(state.phase, message.kind);
  }
}

function switchOver(state: SourceState, decision: Extract<SourceEvent, { kind: 'switchoverDecided' }>): SourceStep {
  if (state.phase !== 'copying') return refused(state.phase, decision.kind);
  const { wasRunning, pagesMissing } = decision;
  const effects: SourceEffect[] = [
    { kind: 'writeJournal', record: { side: 'source', kind: 'stopping', wasRunning, pagesMissing } },
    { kind: 'send', message: { kind: 'switchover', wasRunning, pagesMissing } },
  ];
  if (wasRunning) effects.push({ kind: 'stopGuest' });
  effects.push({ kind: 'sendRest', pagesMissing });
  // Loading the device state may already touch a missing page.
  if (pagesMissing) effects.push({ kind: 'servePages' });
  return stepped({ ...state, phase: advanceTo(state, 'stopping'), wasRunning, pagesMissing }, ...effects);
}

function commit(state: Extract<SourceState, { phase: 'stopping' }>): SourceStep {
  return stepped(
    { ...state, phase: advanceTo(state, 'committed'), resumedAtMs: null },
    { kind: 'writeJournal', record: { side: 'source', kind: 'committed', epoch: state.epoch } },
    { kind: 'send', message: { kind: 'commit', epoch: state.epoch } },
  );
}

function loseConnection(state: SourceState, error: ErrorBody): SourceStep {
  if (!state.connected) return stepped(state);
  if (isBeforeCommit(state)) return takeBack(state, 'failed', error, 'connection');
  const cut: SourceState = { ...state, connected: false };
  return owesSomething(state) ? stepped(cut, { kind: 'redial' }) : stepped(cut);
}

function owesSomething(state: SourceState): boolean {
  switch (state.phase) {
    case 'committed':
    case 'serving':
      return true;
    case 'failed':
    case 'cancelled':
    case 'lost':
      return state.owed;
    default:
      return false;
  }
}

function reconnect(state: SourceState): SourceStep {
  if (state.connected) return refused(state.phase, 'connected');
  switch (state.phase) {
    case 'committed':
    case 'serving':
      return stepped({ ...state, connected: true }, { kind: 'send', message: { kind: 'commit', epoch: state.epoch } });
    case 'failed':
    case 'cancelled':
    case 'lost':
      if (!state.owed) break;
      return stepped({ ...state, connected: true }, { kind: 'send', message: farewell(state) });
    default:
      break;
  }
  return refused(state.phase, 'connected');
}

function cancelledError(): ErrorBody {
  return new GodwitError('GW_MIGRATION_CANCELLED').toBody();
}
