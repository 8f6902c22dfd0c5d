/**
 * The handover at the destination after a crash or a restart: where the journal ends.
 *
 * Owns: what each last record means. Pure. Must hold: a VM that was promised waits for the source's word; one that was
 * resumed is not resumed again, because its user may have paused it since.
 */
import { type ErrorBody, GodwitError } from '../base/errors.ts';
import type { DestinationEffect, DestinationRecord, HandoverIdentity } from './handover.ts';
import { complete, takeOver } from './handover-destination.ts';
import { cleanUp } from './handover-destination-farewell.ts';
import { type DestinationState, type DestinationStep, finish } from './handover-destination-state.ts';
import type { DestinationPhase } from './progress.ts';

/**
 * The state after a crash or restart, from this side's records of one migration, and what is to be done first.
 * undefined: this host knows nothing of it (the answer to the source is `unknown`). A migration that has ended gives
 * its last state without effects, so that a repeated message can be answered.
 * The caller looks first, before it hears the source: `guestLost` if QEMU has ended meanwhile, and `allPagesArrived`
 * after `pageIn` if no page is missing.
 */
export function recoverDestination(
  records: readonly DestinationRecord[],
): { state: DestinationState; effects: readonly DestinationEffect[] } | undefined {
  const accepted = records.find((record) => record.kind === 'accepted');
  const last = records.at(-1);
  if (accepted === undefined || last === undefined) return undefined;
  const { migration, vm, epoch, peer } = accepted;
  const base = { migration, vm, epoch, peer };
  const promise = records.findLast((record) => record.kind === 'prepared') ?? {
    wasRunning: false,
    pagesMissing: false,
  };
  const { wasRunning, pagesMissing } = promise;
  const resumedAtMs = records.findLast((record) => record.kind === 'resumed')?.resumedAtMs ?? null;
  switch (last.kind) {
    case 'accepted':
      return settle(cleanUp({ ...base, phase: 'waiting' }, 'failed', interruptedError('receiving'), 'unheard'));
    case 'prepared':
      return { state: { ...base, phase: 'loaded', wasRunning, pagesMissing }, effects: [] };
    case 'owner':
      return settle(takeOver({ ...base, phase: 'resuming', wasRunning, pagesMissing }, []));
    case 'resumed': {
      if (pagesMissing) return { state: { ...base, phase: 'pagingIn', resumedAtMs }, effects: [{ kind: 'pageIn' }] };
      return { state: { ...base, phase: 'done', resumedAtMs }, effects: complete() };
    }
    case 'complete':
      return { state: { ...base, phase: 'done', resumedAtMs }, effects: [finish('completed', null)] };
    case 'ended':
      return { state: endedState(base, last, resumedAtMs), effects: [] };
  }
}

function endedState(
  base: HandoverIdentity,
  { outcome, error }: Extract<DestinationRecord, { kind: 'ended' }>,
  resumedAtMs: number | null,
): DestinationState {
  if (outcome === 'completed') return { ...base, phase: 'done', resumedAtMs };
  const phase = outcome === 'refused' ? 'failed' : outcome;
  return { ...base, phase, error: error ?? interruptedError(phase) };
}

function settle(step: DestinationStep): { state: DestinationState; effects: readonly DestinationEffect[] } {
  if (step.kind === 'refused') throw new GodwitError('GW_PHASE_REFUSED', { phase: step.phase, event: step.event });
  return step;
}

function interruptedError(phase: DestinationPhase): ErrorBody {
  return new GodwitError('GW_MIGRATION_INTERRUPTED', { phase }).toBody();
}
