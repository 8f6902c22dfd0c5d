/**
 * An evacuation as people are shown it: each VM with its state, what was predicted and what it took; what happens, in words.
 *
 * Owns: the translation. Pure. Must hold: each VM that is meant is there once, whatever has become of it.
 */
import type { EvacuatedVmView } from '../api/evacuation-schema.ts';
import { formatDuration, formatSize } from '../base/units.ts';
import { explainMove, explainRefusal } from '../fleet/explain.ts';
import type { Prediction } from '../fleet/group-prediction.ts';
import { type BundledPlan, explainBundledMove } from './bundled-plan.ts';
import type { Arrival, EvacuationEvent, EvacuationMemory, EvacuationOutcome } from './evacuation-port.ts';
import { sayForeign } from './foreign-moves.ts';

const NOTHING: Omit<EvacuatedVmView, 'vm' | 'state'> = {
  to: null,
  migration: null,
  groupMigration: null,
  startsAtMs: null,
  startedAtMs: null,
  endedAtMs: null,
  attempts: 0,
  reason: null,
  predicted: null,
  actual: null,
};

/**
 * @param plan - the last one; null: none was made yet
 * @param outcome - null: it is not over
 */
export function showVms(
  memory: EvacuationMemory,
  plan: BundledPlan | null,
  outcome: EvacuationOutcome | null,
): EvacuatedVmView[] {
  const shown = new Map<string, EvacuatedVmView>();
  for (const arrival of memory.arrived) shown.set(arrival.vm, showArrived(arrival));
  for (const { move, startedAtMs, id, isOfGroup } of memory.running) {
    const left = outcome !== null;
    shown.set(move.vm, {
      ...NOTHING,
      vm: move.vm,
      state: left ? 'left' : 'running',
      to: move.to,
      ...(isOfGroup ? { groupMigration: id } : { migration: id }),
      startedAtMs,
      predicted: predictedOf(move.prediction),
    });
  }
  const add = (vm: EvacuatedVmView): void => {
    if (!shown.has(vm.vm)) shown.set(vm.vm, vm);
  };
  for (const foreign of memory.foreign ?? []) {
    const { vm, id, to, at } = foreign;
    const state = at !== null ? 'arrived' : outcome !== null ? 'left' : 'running';
    add({ ...NOTHING, vm, state, to: at ?? to, migration: id, reason: sayForeign(foreign) });
  }
  for (const { vm, reason } of outcome?.stayed ?? []) add({ ...NOTHING, vm, state: 'stayed', reason });
  for (const move of plan?.moves ?? []) {
    const reason = explainBundledMove(move, plan!);
    const predicted = predictedOf(move.prediction);
    const state = move.wait?.kind === 'retry' ? 'failed' : 'waiting';
    add({ ...NOTHING, vm: move.vm, state, to: move.to, startsAtMs: move.startsAtMs, reason, predicted });
  }
  for (const { vm, why } of plan?.refused ?? []) {
    const isParked = why.kind === 'parked' || why.kind === 'failed';
    add({ ...NOTHING, vm, state: isParked ? 'parked' : 'waiting', reason: explainRefusal(vm, why) });
  }
  for (const { vm, failure } of memory.failures) {
    add({ ...NOTHING, vm, state: failure.kind, reason: failure.reason });
  }
  return [...shown.values()].map((vm) => ({ ...vm, attempts: attemptsAt(memory, vm.vm) }));
}

/** What is told of it; null: nothing. */
export function noteOf(event: EvacuationEvent): string | null {
  switch (event.kind) {
    case 'planned':
      return null;
    case 'waits':
    case 'foreign':
      return event.reason;
    case 'started':
      return explainMove(event.move, event.move.startsAtMs);
    case 'ended': {
      const { report } = event.view;
      if (report?.outcome !== 'completed') return null;
      const { totalMs, wireBytes, downtimeMs } = report;
      const stood = downtimeMs === null ? '' : `, stood still for ${formatDuration(downtimeMs)}`;
      return `${event.move.vm} is at ${event.move.to}: ${formatDuration(totalMs)}, ${formatSize(wireBytes)}${stood}`;
    }
    case 'failed':
      return `${event.vm} has stayed (attempt ${event.attempts}): ${event.reason}`;
  }
}

function showArrived({ vm, to, id, startedAtMs, prediction, totalMs, bytes, downtimeMs }: Arrival): EvacuatedVmView {
  return {
    ...NOTHING,
    vm,
    state: 'arrived',
    to,
    migration: id,
    startedAtMs,
    endedAtMs: startedAtMs + totalMs,
    predicted: predictedOf(prediction),
    actual: { totalMs, bytes, downtimeMs },
  };
}

function attemptsAt({ failures }: EvacuationMemory, vm: string): number {
  const failure = failures.find((each) => each.vm === vm)?.failure;
  if (!failure) return 0;
  return failure.kind === 'failed' ? failure.attempts : 1;
}

function predictedOf({ bytes, totalMs, downtimeMs }: Prediction): EvacuatedVmView['predicted'] {
  return { bytes, totalMs, downtimeMs };
}
