/**
 * A VM's move while an evacuation carries it out.
 *
 * Owns: what is known of it beside what is remembered (`BegunMove`). Must hold: what whoever goes on with the evacuation has to know is in
 * the memory, and nothing of one whose end is known.
 */
import type { BegunMove, Start } from './evacuation-port.ts';
import type { JointMove } from './joint-move.ts';
import type { RunningMove } from './settled-picture.ts';

export interface CarriedMove extends RunningMove {
  /** null: it goes by itself. */
  readonly joint: JointMove | null;
  id: string | null;
  /** How it ended is known. */
  isOver: boolean;
}

type Order = Pick<BegunMove, 'isOfGroup' | 'startedAtMs'> & { readonly requestId: string };

/** @param together - all that are to switch over at one moment, with what binds them; null: it goes by itself */
export function carry(
  start: Start,
  lastingMs: number,
  order: Order,
  together: { readonly vms: readonly string[]; readonly joint: JointMove } | null = null,
): CarriedMove {
  const endsAtMs = order.startedAtMs + lastingMs;
  const bound = together ? { together: together.vms } : {};
  return { ...start, ...order, ...bound, endsAtMs, joint: together?.joint ?? null, id: null, isOver: false };
}

/** One that another controller has begun. */
export function carryOn(begun: BegunMove, joint: JointMove | null): CarriedMove {
  const endsAtMs = begun.startedAtMs + begun.move.prediction.totalMs.p50;
  return { ...begun, fleetVm: null, endsAtMs, joint, isOver: false };
}

export function remember(running: Iterable<CarriedMove>): BegunMove[] {
  return [...running].flatMap(({ fleetVm: _fleetVm, endsAtMs: _endsAtMs, joint: _joint, isOver, ...begun }) =>
    isOver ? [] : [begun],
  );
}
