/**
 * The words of the handover: messages between the two sides, records in the journals, effects that the step functions
 * order. The steps themselves are in handover-source.ts and handover-destination.ts; diagrams in docs/phases.md.
 *
 * Owns: the protocol by which the ownership of a VM passes from one host to another (G3). Pure.
 * Must hold for whoever interprets the effects of one step:
 * - they are done in order, each finished before the next; a `writeJournal` is finished when it is on stable storage;
 * - the next event is given to the step function only after the last effect of the step before it;
 * - a failed `writeJournal` is a crash: no later effect is done, and the migration is recovered from its journal;
 * - every effect can be done twice (a crash may come between an effect and the next record), so `resumeGuest` on a
 *   running VM and `discardGuest` without a VM are no errors;
 * - a `send` without a connection does nothing; the step function heard or will hear `connectionLost`.
 *
 * The rule that decides who owns the VM: the source's record `committed`. If the source's journal does not hold it, the
 * VM is the source's and every unfinished migration is aborted. A destination that has promised (`prepared`) decides
 * nothing by itself.
 */
import type { ErrorBody, ErrorCode } from '../base/errors.ts';
import type { MigrationOutcome } from './report.ts';

/** Which migration of which VM; the same on both sides. */
export interface HandoverIdentity {
  readonly migration: string;
  readonly vm: string;
  /** The epoch that the VM has once it is the destination's: the source's epoch plus one. */
  readonly epoch: number;
  /** The other host: for the source the address to dial. */
  readonly peer: string;
}

/** What the source says. */
export type SourceMessage =
  | { readonly kind: 'offer' }
  /** The VM is being stopped; the last pages (or the list of missing ones) and the device state follow. */
  | { readonly kind: 'switchover'; readonly wasRunning: boolean; readonly pagesMissing: boolean }
  | { readonly kind: 'commit'; readonly epoch: number }
  | { readonly kind: 'abort'; readonly cancelled: boolean; readonly error: ErrorBody }
  | { readonly kind: 'release' }
  /** After the commit: pages that the destination lacks are gone. */
  | { readonly kind: 'failed'; readonly error: ErrorBody };

/** What the destination says. */
export type DestinationMessage =
  | { readonly kind: 'ready' }
  /** The host cannot take the VM yet; the offer is repeated after a while. */
  | { readonly kind: 'notReady'; readonly reason: string }
  | { readonly kind: 'refused'; readonly error: ErrorBody }
  | { readonly kind: 'loaded' }
  /** `resumedAtMs`: Unix time of QEMU's RESUME event; null for a VM that was paused and stays paused. */
  | { readonly kind: 'resumed'; readonly resumedAtMs: number | null }
  | { readonly kind: 'allPresent' }
  | { readonly kind: 'aborted' }
  /** `owned`: the VM was this host's and may have run here. If not, it never will. */
  | { readonly kind: 'failed'; readonly owned: boolean; readonly error: ErrorBody }
  /** This host's journal knows no such migration. */
  | { readonly kind: 'unknown' };

/** What the source must remember across a crash. The last record is the state. */
export type SourceRecord =
  | ({ readonly side: 'source'; readonly kind: 'offered' } & HandoverIdentity)
  /** Written before the guest is stopped, so that a rollback after a crash knows whether to continue it. */
  | {
      readonly side: 'source';
      readonly kind: 'stopping';
      readonly wasRunning: boolean;
      readonly pagesMissing: boolean;
    }
  /** The point of no return. */
  | { readonly side: 'source'; readonly kind: 'committed'; readonly epoch: number }
  | { readonly side: 'source'; readonly kind: 'released' }
  /** The VM is back at the source; an abort is owed to the destination. */
  | { readonly side: 'source'; readonly kind: 'rolledBack'; readonly cancelled: boolean; readonly error: ErrorBody }
  /** Pages are gone after the commit; the destination must be told. */
  | { readonly side: 'source'; readonly kind: 'lost'; readonly error: ErrorBody }
  | { readonly side: 'source'; readonly kind: 'ended'; readonly outcome: HandoverOutcome };

/** What the destination must remember across a crash. The last record is the state. */
export type DestinationRecord =
  | ({ readonly side: 'destination'; readonly kind: 'accepted' } & HandoverIdentity)
  /** Written before `loaded` can be sent: from here on only the source decides. */
  | {
      readonly side: 'destination';
      readonly kind: 'prepared';
      readonly wasRunning: boolean;
      readonly pagesMissing: boolean;
    }
  /** Written before the guest is resumed. */
  | { readonly side: 'destination'; readonly kind: 'owner'; readonly epoch: number }
  /** The guest has been resumed: a restart must not continue a VM that its user has paused since. */
  | { readonly side: 'destination'; readonly kind: 'resumed'; readonly resumedAtMs: number | null }
  /** Every page is here. */
  | { readonly side: 'destination'; readonly kind: 'complete' }
  | {
      readonly side: 'destination';
      readonly kind: 'ended';
      readonly outcome: HandoverOutcome;
      readonly error: ErrorBody | null;
    };

export type JournalRecord = SourceRecord | DestinationRecord;

/** `lost`: the VM ended after the commit, or pages that it lacks are gone. The report says `failed`. */
export type HandoverOutcome = MigrationOutcome | 'lost';

/** What the report says. A cancel that came by way of the other host is a cancel, not a failure. */
export function reportedOutcome(outcome: HandoverOutcome, error: ErrorBody | null): MigrationOutcome {
  if (outcome === 'failed' && error?.code === 'GW_MIGRATION_CANCELLED') return 'cancelled';
  return outcome === 'lost' ? 'failed' : outcome;
}

/** What the report says of a VM that is lost: whose QEMU, or which pages, were the reason. */
export function lossOf(vm: string, reason: ErrorBody): ErrorBody {
  return { ...reason, message: `VM ${vm} is lost after it was given away: ${reason.message}` };
}

/** What the report says of a VM that was given away and not taken: there is no owner, and nothing of it is freed. */
export function orphanOf(vm: string, reason: ErrorBody): ErrorBody {
  const kept = 'it never ran there, and its QEMU at the source is left as it is, paused since the stop';
  return { ...reason, message: `VM ${vm} was given away and not taken (${reason.message}): ${kept}` };
}

/** Effects that both sides know. */
export type SharedEffect<Message, Record> =
  | { readonly kind: 'writeJournal'; readonly record: Record }
  | { readonly kind: 'send'; readonly message: Message }
  /** End this host's QEMU of the VM and free its memory; on a destination also everything made for it. */
  | { readonly kind: 'discardGuest' }
  /**
   * The migration's result on this side is known; what the state still owes goes on behind it. Comes again after a
   * restart, except after the record `ended`, which holds the result itself.
   */
  | { readonly kind: 'finish'; readonly outcome: HandoverOutcome; readonly error: ErrorBody | null };

export type SourceEffect =
  | SharedEffect<SourceMessage, SourceRecord>
  /** Send the offer again after a pause. */
  | { readonly kind: 'offerLater' }
  /** Stop the VM, with its vCPUs at full speed when they are asked to stop (S6). */
  | { readonly kind: 'stopGuest' }
  /** Send the last pages, or the list of those that are missing, and the device state. */
  | { readonly kind: 'sendRest'; readonly pagesMissing: boolean }
  /** Answer the destination's page requests and push pages; may begin as soon as the list was sent. */
  | { readonly kind: 'servePages' }
  /** Leave this host's QEMU of the VM paused, and say how a person takes the VM back. */
  | { readonly kind: 'keepGuest' }
  /** Lift the throttle, stop tracking, forget the copy; then `cont` if `resume` says so. */
  | { readonly kind: 'rollBack'; readonly resume: boolean }
  /** Dial the destination, with backoff and without end, until it answers; then give `connected`. */
  | { readonly kind: 'redial' };

export type DestinationEffect =
  | SharedEffect<DestinationMessage, DestinationRecord>
  /** Install what `sendRest` sends, load the device state; then give `stateLoaded`. */
  | { readonly kind: 'loadState'; readonly pagesMissing: boolean }
  /** Fetch the missing pages, on demand and in the background; after the last give `allPagesArrived`. */
  | { readonly kind: 'pageIn' }
  /** `cont`; then give `guestResumed`. */
  | { readonly kind: 'resumeGuest' };

export type Effect = SourceEffect | DestinationEffect;

/** What a step function answers. A refusal changes nothing; it is counted, and told to whoever asked. */
export type Step<State, E extends Effect> =
  | { readonly kind: 'stepped'; readonly state: State; readonly effects: readonly E[] }
  | Refusal;

export interface Refusal {
  readonly kind: 'refused';
  /** `GW_MIGRATION_TOO_LATE` for a cancel after the commit; `GW_PHASE_REFUSED` for what the protocol forbids. */
  readonly code: Extract<ErrorCode, 'GW_PHASE_REFUSED' | 'GW_MIGRATION_TOO_LATE'>;
  readonly phase: string;
  readonly event: string;
}

export function stepped<State, E extends Effect>(state: State, ...effects: E[]): Step<State, E> {
  return { kind: 'stepped', state, effects };
}

export function refused(phase: string, event: string, code: Refusal['code'] = 'GW_PHASE_REFUSED'): Refusal {
  return { kind: 'refused', code, phase, event };
}
