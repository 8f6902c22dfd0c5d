/**
 * How near an evacuation came to what was predicted of it.
 *
 * Owns: the scores. Must hold: a VM counts with the prediction that its move was begun with, a group with that of the plan in which
 * its first VM began; nothing that arrived is left out.
 */
import type { EvacuationEvent, EvacuationOutcome } from '../src/controller/evacuation-port.ts';
import type { PlannedGroup } from '../src/fleet/plan.ts';

type Told = EvacuationEvent & { readonly atMs: number };

interface Begun {
  readonly group: PlannedGroup;
  readonly atMs: number;
}

/** Series by the end of their names. */
export function scoreEvacuation(
  events: readonly Told[],
  { arrived, totalMs }: EvacuationOutcome,
): Record<string, number[]> {
  const ended = new Map(
    events.flatMap((event) => (event.kind === 'ended' ? [[event.move.vm, event.atMs] as const] : [])),
  );
  const groups = begunGroups(events).map(({ group, atMs }) => {
    const actualMs = Math.max(...group.vms.map((vm) => ended.get(vm) ?? Number.NaN)) - atMs;
    return { predicted: group.prediction.totalMs, actualMs };
  });
  const [plan] = events.flatMap((event) =>
    event.kind === 'planned' && event.plan.moves.length > 0 ? [event.plan] : [],
  );
  // What the source's port had to do at least: it is the one that all go through.
  const sumMs = arrived.reduce((sum, each) => sum + each.totalMs, 0);
  return {
    groupOffPercent: groups.map(({ predicted, actualMs }) => off(predicted.p50, actualMs)),
    groupCovered: groups.map(({ predicted, actualMs }) => covered(predicted, actualMs)),
    vmOffPercent: arrived.map((each) => off(each.predictedMs.p50, each.totalMs)),
    vmCovered: arrived.map((each) => covered(each.predictedMs, each.totalMs)),
    vmBytesOffPercent: arrived.map((each) => off(each.predictedBytes, each.bytes)),
    downtimeMs: arrived.flatMap(({ downtimeMs }) => downtimeMs ?? []),
    makespanOfBound: plan ? [totalMs / plan.lowerBoundMs] : [],
    makespanOfWork: [totalMs / sumMs],
    planOffPercent: plan ? [off(plan.makespanMs, totalMs)] : [],
  };
}

function begunGroups(events: readonly Told[]): Begun[] {
  const begun: Begun[] = [];
  const started = new Set<string>();
  for (const event of events) {
    if (event.kind !== 'planned') continue;
    const now = event.plan.moves.filter(({ wait }) => wait === null);
    for (const group of event.plan.groups) {
      if (group.vms.some((vm) => started.has(vm)) || !now.some(({ vm }) => group.vms.includes(vm))) continue;
      begun.push({ group, atMs: event.atMs });
      for (const vm of group.vms) started.add(vm);
    }
  }
  return begun;
}

function off(predicted: number, actual: number): number {
  return (100 * Math.abs(predicted - actual)) / actual;
}

function covered({ p10, p90 }: { readonly p10: number; readonly p90: number }, actual: number): number {
  return actual >= p10 && actual <= p90 ? 1 : 0;
}
