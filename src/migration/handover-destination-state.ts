/**
 * The states of the handover at the destination, and what can happen in them.
 *
 * Owns: the types, and the small parts that every step is made of. Must hold: what a state needs to go on is in the
 * state; `advanceTo` is the only way from one phase to another.
 */
import type { ErrorBody } from '../base/errors.ts';
import type { DestinationEffect, HandoverIdentity, HandoverOutcome, SourceMessage, Step } from './handover.ts';
import { advance, DESTINATION_PHASES } from './phases.ts';
import type { DestinationPhase } from './progress.ts';

type Switchover = { readonly wasRunning: boolean; readonly pagesMissing: boolean };

export type DestinationState =
  | (HandoverIdentity & { readonly phase: 'preparing' | 'waiting' })
  /** `switchover`: null until the source stops the VM. */
  | (HandoverIdentity & { readonly phase: 'receiving'; readonly switchover: Switchover | null })
  | (HandoverIdentity & Switchover & { readonly phase: 'loaded' | 'resuming' })
  | (HandoverIdentity & { readonly phase: 'pagingIn' | 'done'; readonly resumedAtMs: number | null })
  | (HandoverIdentity & { readonly phase: 'failed' | 'cancelled' | 'lost'; readonly error: ErrorBody });

export type DestinationEvent =
  | { readonly kind: 'received'; readonly message: SourceMessage }
  /** QEMU is there and the VM fits. */
  | { readonly kind: 'prepared' }
  | { readonly kind: 'refused'; readonly error: ErrorBody }
  /** The first page frame. */
  | { readonly kind: 'pagesArrived' }
  /** Everything that `sendRest` sent is in place and QEMU has loaded its state. */
  | { readonly kind: 'stateLoaded' }
  | { readonly kind: 'guestResumed'; readonly resumedAtMs: number }
  | { readonly kind: 'allPagesArrived' }
  | { readonly kind: 'failed'; readonly error: ErrorBody }
  | { readonly kind: 'guestLost'; readonly error: ErrorBody }
  | { readonly kind: 'connectionLost'; readonly error: ErrorBody };

export type DestinationStep = Step<DestinationState, DestinationEffect>;

export type BeforePromise = Extract<DestinationState, { phase: 'preparing' | 'waiting' | 'receiving' }>;

export type Resuming = HandoverIdentity & Switchover & { readonly phase: 'resuming' };

export function isBeforePromise(state: DestinationState): state is BeforePromise {
  return state.phase === 'preparing' || state.phase === 'waiting' || state.phase === 'receiving';
}

/** @throws GW_PHASE_REFUSED when the table of phases has no such way */
export function advanceTo<P extends DestinationPhase>(state: DestinationState, phase: P): P {
  return advance(DESTINATION_PHASES, state.phase, phase);
}

/** What every state has. */
export function identityOf({ migration, vm, epoch, peer }: HandoverIdentity): HandoverIdentity {
  return { migration, vm, epoch, peer };
}

/** The journal's last record of the migration. */
export function recordEnd(outcome: HandoverOutcome, error: ErrorBody | null): DestinationEffect {
  return { kind: 'writeJournal', record: { side: 'destination', kind: 'ended', outcome, error } };
}

export function finish(outcome: HandoverOutcome, error: ErrorBody | null): DestinationEffect {
  return { kind: 'finish', outcome, error };
}
