/**
 * Where the VMs of an evacuation count, whichever hosts list them.
 *
 * Pure. Must hold: a VM on its way is where it came from until its migration has ended (a VM in post-copy has left the list of its source
 * and still fills its port); each is there once.
 */
import type { FleetVm } from '../fleet/fleet-state.ts';
import type { BegunMove } from './evacuation-port.ts';

/** A migration that was begun, as whoever began it knows it. */
export interface RunningMove extends BegunMove {
  /** null: somebody else has begun it, and the hosts tell. */
  readonly fleetVm: FleetVm | null;
  readonly endsAtMs: number;
}

/** @param from - the host that is left */
export function settleVms(
  vms: readonly FleetVm[],
  from: string,
  known: { readonly running: readonly RunningMove[]; hasArrived(vm: string): boolean },
): FleetVm[] {
  const places = Map.groupBy(vms, ({ name }) => name);
  const onWay = new Set(known.running.map(({ move }) => move.vm));
  const stand = vms.filter(({ name, host }) => {
    if (onWay.has(name)) return false;
    // Its source has not struck it off yet.
    return !(host === from && known.hasArrived(name) && places.get(name)!.length > 1);
  });
  const moving = known.running.flatMap(({ move, fleetVm }) => {
    const vm = fleetVm ?? places.get(move.vm)?.[0];
    return vm ? [{ ...vm, host: from }] : [];
  });
  return [...stand, ...moving];
}
