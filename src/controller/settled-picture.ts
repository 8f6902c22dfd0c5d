/**
 * Where the VMs of an evacuation count, whichever hosts list them.
 *
 * Pure. Must hold: a VM on its way is where it came from until its migration has ended (a VM in post-copy has left the list of its source
 * and still fills its port); each is there once. A host that was asked before a migration's end was known says nothing of where that VM is
 * now: it is where it went; one that names the VM when it is asked later has it again.
 */
import type { FleetVm } from '../fleet/fleet-state.ts';
import type { Arrival, BegunMove } from './evacuation-port.ts';
import type { FleetPicture } from './fleet-picture.ts';

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

/** @param from - the host that they have left */
export function withArrivals(picture: FleetPicture, from: string, arrived: readonly Arrival[]): FleetPicture {
  const askedAtMs = picture.askedAtMs.get(from);
  if (askedAtMs === undefined) return picture;
  const later = new Map(arrived.flatMap((each) => (knownAtMs(each) >= askedAtMs ? [[each.vm, each.to] as const] : [])));
  if (later.size === 0) return picture;
  const places = Map.groupBy(picture.vms, ({ fleetVm }) => fleetVm.name);
  const vms = picture.vms.flatMap((each) => {
    const { fleetVm, outlook } = each;
    const to = fleetVm.host === from ? later.get(fleetVm.name) : undefined;
    if (to === undefined) return [each];
    const isListedThere = places.get(fleetVm.name)!.length > 1;
    return isListedThere
      ? []
      : [{ ...each, fleetVm: { ...fleetVm, host: to }, outlook: { ...outlook, migration: null } }];
  });
  return {
    ...picture,
    vms,
    base: { ...picture.base, vms: vms.map(({ fleetVm }) => fleetVm) },
    underway: picture.underway.filter((each) => each.from !== from || !later.has(each.vm)),
  };
}

/** An older controller wrote down only how long it took. */
function knownAtMs({ endKnownAtMs, startedAtMs, totalMs }: Arrival): number {
  return endKnownAtMs ?? startedAtMs + totalMs;
}
