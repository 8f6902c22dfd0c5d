/**
 * The states of the handover at the source, and what can happen in them.
 *
 * Owns: the types, and the small parts that every step is made of. Must hold: what a state needs to go on is in the
 * state; `advanceTo` is the only way from one phase to another.
 */
import type { ErrorBody } from '../base/errors.ts';
import type { DestinationMessage, HandoverIdentity, HandoverOutcome, SourceEffect, Step } from './handover.ts';
import { advance, SOURCE_PHASES } from './phases.ts';
import type { SourcePhase } from './progress.ts';

type Common = HandoverIdentity & { readonly connected: boolean };
type Switched = Common & { readonly wasRunning: boolean; readonly pagesMissing: boolean };

export type SourceState =
  | (Common & { readonly phase: 'preparing' | 'copying' })
  | (Switched & { readonly phase: 'stopping' })
  | (Switched & { readonly phase: 'committed' | 'serving'; readonly resumedAtMs: number | null })
  | (Common & { readonly phase: 'released' })
  /** `owed`: the destination has not acknowledged the abort (after `lost`: the failure) yet. */
  | (Common & { readonly phase: 'failed' | 'cancelled' | 'lost'; readonly owed: boolean; readonly error: ErrorBody });

export type SourceEvent =
  | { readonly kind: 'received'; readonly message: DestinationMessage }
  /** Convergence said finish or post-copy, or the timeout's action did. */
  | { readonly kind: 'switchoverDecided'; readonly wasRunning: boolean; readonly pagesMissing: boolean }
  | { readonly kind: 'cancelled' }
  /** Anything here went wrong, a timeout included. */
  | { readonly kind: 'failed'; readonly error: ErrorBody }
  /** QEMU has ended. After the commit only if the pages went with it: an open RAM file keeps them. */
  | { readonly kind: 'guestLost'; readonly error: ErrorBody }
  | { readonly kind: 'connectionLost'; readonly error: ErrorBody }
  | { readonly kind: 'connected' };

export type SourceStep = Step<SourceState, SourceEffect>;

export type BeforeCommit = Extract<SourceState, { phase: 'preparing' | 'copying' | 'stopping' }>;

export type GivenAway = Extract<SourceState, { phase: 'committed' | 'serving' }>;

export type Farewell = Extract<SourceState, { phase: 'failed' | 'cancelled' | 'lost' }>;

export function isBeforeCommit(state: SourceState): state is BeforeCommit {
  return state.phase === 'preparing' || state.phase === 'copying' || state.phase === 'stopping';
}

/** @throws GW_PHASE_REFUSED when the table of phases has no such way */
export function advanceTo<P extends SourcePhase>(state: SourceState, phase: P): P {
  return advance(SOURCE_PHASES, state.phase, phase);
}

/** What every state has. */
export function commonPart(state: SourceState): Common {
  const { migration, vm, epoch, peer, connected } = state;
  return { migration, vm, epoch, peer, connected };
}

/** The journal's last record of the migration. */
export function recordEnd(outcome: HandoverOutcome): SourceEffect {
  return { kind: 'writeJournal', record: { side: 'source', kind: 'ended', outcome } };
}

export function finish(outcome: HandoverOutcome, error: ErrorBody | null): SourceEffect {
  return { kind: 'finish', outcome, error };
}
