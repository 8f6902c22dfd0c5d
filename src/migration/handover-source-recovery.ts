/**
 * The handover at the source after a crash or a restart: where the journal ends.
 *
 * Owns: what each last record means. Pure. Must hold: without the record `committed` the VM is taken back, with it the
 * destination is dialled until it answers; whatever the dead process had done already may be done again.
 */
import { type ErrorBody, GodwitError } from '../base/errors.ts';
import type { SourceEffect, SourceRecord } from './handover.ts';
import { takeBack } from './handover-source-farewell.ts';
import { finish, recordEnd, type SourceState, type SourceStep } from './handover-source-state.ts';
import type { SourcePhase } from './progress.ts';

/**
 * The state after a crash or restart, from this side's records of one migration, and what is to be done first.
 * undefined: nothing is open. The connection is down.
 */
export function recoverSource(
  records: readonly SourceRecord[],
): { state: SourceState; effects: readonly SourceEffect[] } | undefined {
  const offered = records.find((record) => record.kind === 'offered');
  const last = records.at(-1);
  if (offered === undefined || last === undefined || last.kind === 'ended') return undefined;
  const { migration, vm, epoch, peer } = offered;
  const base = { migration, vm, epoch, peer, connected: false };
  const switched = records.findLast((record) => record.kind === 'stopping') ?? {
    wasRunning: false,
    pagesMissing: false,
  };
  const { wasRunning, pagesMissing } = switched;
  switch (last.kind) {
    case 'offered':
      return settle(takeBack({ ...base, phase: 'copying' }, 'failed', interruptedError('copying')));
    case 'stopping':
      return settle(
        takeBack({ ...base, phase: 'stopping', wasRunning, pagesMissing }, 'failed', interruptedError('stopping')),
      );
    case 'committed': {
      const effects: SourceEffect[] = pagesMissing
        ? [{ kind: 'servePages' }, { kind: 'redial' }]
        : [{ kind: 'redial' }];
      return { state: { ...base, phase: 'committed', wasRunning, pagesMissing, resumedAtMs: null }, effects };
    }
    case 'released':
      return {
        state: { ...base, phase: 'released' },
        effects: [{ kind: 'discardGuest' }, recordEnd('completed'), finish('completed', null)],
      };
    case 'rolledBack': {
      const phase = last.cancelled ? 'cancelled' : 'failed';
      return {
        state: { ...base, phase, owed: true, error: last.error },
        effects: [{ kind: 'redial' }, finish(phase, last.error)],
      };
    }
    case 'lost':
      return { state: { ...base, phase: 'lost', owed: true, error: last.error }, effects: [{ kind: 'redial' }] };
  }
}

function settle(step: SourceStep): { state: SourceState; effects: readonly SourceEffect[] } {
  if (step.kind === 'refused') throw new GodwitError('GW_PHASE_REFUSED', { phase: step.phase, event: step.event });
  return step;
}

function interruptedError(phase: SourcePhase): ErrorBody {
  return new GodwitError('GW_MIGRATION_INTERRUPTED', { phase }).toBody();
}
