/** Where VMs count that are on their way. Pure. */
import type { FleetVm } from '../fleet/fleet-state.ts';
import type { BegunMove } from './evacuation-port.ts';

export interface MovingVm extends BegunMove {
  /** null: somebody else has begun it, and the hosts tell. */
  readonly fleetVm: FleetVm | null;
}

/**
 * All VMs, each where it counts: one on its way where it came from.
 * @param vms - as hosts list them
 */
export function settle(
  vms: readonly FleetVm[],
  from: string,
  running: ReadonlyMap<string, MovingVm>,
  hasArrived: (vm: string) => boolean,
): FleetVm[] {
  const places = Map.groupBy(vms, ({ name }) => name);
  const stand = vms.filter(({ name, host }) => {
    if (running.has(name)) return false;
    // Its source has not struck it off yet.
    return !(host === from && hasArrived(name) && places.get(name)!.length > 1);
  });
  const moving = [...running.values()].flatMap(({ move, fleetVm }) => {
    const known = fleetVm ?? places.get(move.vm)?.[0];
    return known ? [{ ...known, host: from }] : [];
  });
  return [...stand, ...moving];
}
