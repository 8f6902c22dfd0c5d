/**
 * The destination's half of the handover: a pure step function from state and event to state and effects.
 *
 * Owns: when the destination cleans up, waits, resumes the VM or tells the source that it has every page. The rules of
 * handover.ts hold for its effects.
 * Must hold: the guest is resumed only after the record `owner`; between `loaded` and commit or abort nothing but the
 * end of QEMU itself ends the waiting. The destination never dials; a repeated message gets the answer of today.
 */
import { type DestinationEffect, type HandoverIdentity, refused, type SourceMessage, stepped } from './handover.ts';
import { cleanUp, loseGuest, receiveAbort, receiveFailed, sayFailed } from './handover-destination-farewell.ts';
import {
  advanceTo,
  type DestinationEvent,
  type DestinationState,
  type DestinationStep,
  finish,
  identityOf,
  isBeforePromise,
  type Resuming,
  recordEnd,
} from './handover-destination-state.ts';

/** The first step: the host admitted the offer. The caller prepares QEMU, then gives `prepared` or `refused`. */
export function startDestination(identity: HandoverIdentity): {
  state: DestinationState;
  effects: readonly DestinationEffect[];
} {
  return {
    state: { ...identity, phase: 'preparing' },
    effects: [{ kind: 'writeJournal', record: { side: 'destination', kind: 'accepted', ...identity } }],
  };
}

export function stepDestination(state: DestinationState, event: DestinationEvent): DestinationStep {
  switch (event.kind) {
    case 'received':
      return receive(state, event.message);
    case 'prepared':
      if (state.phase !== 'preparing') break;
      return stepped({ ...state, phase: advanceTo(state, 'waiting') }, { kind: 'send', message: { kind: 'ready' } });
    case 'refused':
      if (state.phase !== 'preparing') break;
      return cleanUp(state, 'failed', event.error, 'refused');
    case 'pagesArrived':
      if (state.phase === 'receiving') return stepped(state);
      if (state.phase !== 'waiting') break;
      return stepped({ ...state, phase: advanceTo(state, 'receiving'), switchover: null });
    case 'stateLoaded':
      if (state.phase !== 'receiving' || state.switchover === null) break;
      return stepped(
        { ...identityOf(state), ...state.switchover, phase: advanceTo(state, 'loaded') },
        { kind: 'send', message: { kind: 'loaded' } },
      );
    case 'guestResumed':
      // QEMU answered `cont` when the source had already said that the pages are gone.
      if (state.phase === 'lost') return stepped(state);
      if (state.phase !== 'resuming') break;
      return resumed({ ...state, phase: state.phase }, event.resumedAtMs, []);
    case 'allPagesArrived':
      return allPagesArrived(state);
    case 'failed':
      return isBeforePromise(state) ? cleanUp(state, 'failed', event.error) : refused(state.phase, event.kind);
    case 'guestLost':
      return loseGuest(state, event.error);
    case 'connectionLost':
      return isBeforePromise(state) ? cleanUp(state, 'failed', event.error, 'unheard') : stepped(state);
  }
  return refused(state.phase, event.kind);
}

function receive(state: DestinationState, message: SourceMessage): DestinationStep {
  switch (message.kind) {
    case 'offer':
      // A repeated offer: `preparing` will answer when it is ready.
      if (state.phase === 'preparing') return stepped(state);
      if (state.phase === 'waiting') return stepped(state, { kind: 'send', message: { kind: 'ready' } });
      return refused(state.phase, message.kind);
    case 'switchover':
      return receiveSwitchover(state, message);
    case 'commit':
      return receiveCommit(state, message.epoch);
    case 'abort':
      return receiveAbort(state, message.cancelled ? 'cancelled' : 'failed', message.error);
    case 'release':
      if (state.phase !== 'done') return refused(state.phase, message.kind);
      return stepped(state, recordEnd('completed', null));
    case 'failed':
      return receiveFailed(state, message.error);
  }
}

function receiveSwitchover(
  state: DestinationState,
  { wasRunning, pagesMissing }: Extract<SourceMessage, { kind: 'switchover' }>,
): DestinationStep {
  const early = state.phase === 'waiting' || (state.phase === 'receiving' && state.switchover === null);
  if (!early) return refused(state.phase, 'switchover');
  const phase = state.phase === 'waiting' ? advanceTo(state, 'receiving') : 'receiving';
  return stepped(
    { ...identityOf(state), phase, switchover: { wasRunning, pagesMissing } },
    // Here rather than after the load: the write passes while the source stops the VM and sends its state.
    { kind: 'writeJournal', record: { side: 'destination', kind: 'prepared', wasRunning, pagesMissing } },
    { kind: 'loadState', pagesMissing },
  );
}

function receiveCommit(state: DestinationState, epoch: number): DestinationStep {
  if (epoch !== state.epoch) return refused(state.phase, 'commit');
  switch (state.phase) {
    case 'loaded': {
      const owner: DestinationEffect = { kind: 'writeJournal', record: { side: 'destination', kind: 'owner', epoch } };
      return takeOver({ ...state, phase: advanceTo(state, 'resuming') }, [owner]);
    }
    case 'resuming':
      return stepped(state);
    case 'pagingIn':
      return stepped(state, sendResumed(state.resumedAtMs));
    case 'done':
      return stepped(state, sendResumed(state.resumedAtMs), { kind: 'send', message: { kind: 'allPresent' } });
    case 'failed':
    case 'cancelled':
    case 'lost':
      return stepped(state, sayFailed(state));
    default:
      return refused(state.phase, 'commit');
  }
}

/** The VM is ours, durably: it may run. */
export function takeOver(state: Resuming, first: DestinationEffect[]): DestinationStep {
  // The pager comes first: the guest may touch a missing page with its first instruction.
  const effects: DestinationEffect[] = state.pagesMissing ? [...first, { kind: 'pageIn' }] : first;
  if (!state.wasRunning) return resumed(state, null, effects);
  return stepped(state, ...effects, { kind: 'resumeGuest' });
}

function resumed(state: Resuming, resumedAtMs: number | null, first: DestinationEffect[]): DestinationStep {
  const effects: DestinationEffect[] = [
    ...first,
    sendResumed(resumedAtMs),
    { kind: 'writeJournal', record: { side: 'destination', kind: 'resumed', resumedAtMs } },
  ];
  if (state.pagesMissing) {
    return stepped({ ...identityOf(state), phase: advanceTo(state, 'pagingIn'), resumedAtMs }, ...effects);
  }
  return stepped({ ...identityOf(state), phase: advanceTo(state, 'done'), resumedAtMs }, ...effects, ...complete());
}

function allPagesArrived(state: DestinationState): DestinationStep {
  switch (state.phase) {
    // The last page can come before the commit, or overtake QEMU's RESUME event: then nothing is missing at `resumed`.
    case 'loaded':
    case 'resuming':
      return stepped({ ...state, pagesMissing: false });
    case 'pagingIn':
      return stepped({ ...state, phase: advanceTo(state, 'done') }, ...complete());
    case 'lost':
      return stepped(state);
    default:
      return refused(state.phase, 'allPagesArrived');
  }
}

/** Durable before it is said: the source frees its memory on hearing it. */
export function complete(): DestinationEffect[] {
  return [
    { kind: 'writeJournal', record: { side: 'destination', kind: 'complete' } },
    { kind: 'send', message: { kind: 'allPresent' } },
    finish('completed', null),
  ];
}

function sendResumed(resumedAtMs: number | null): DestinationEffect {
  return { kind: 'send', message: { kind: 'resumed', resumedAtMs } };
}
