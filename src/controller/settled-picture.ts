/**
 * Where the VMs of evacuations count, whichever hosts list them, and what fills ports although no host tells of it yet.
 *
 * Pure. Must hold: a VM on its way is where it came from until its migration has ended (a VM in post-copy has left the list of its source
 * and still fills its port); each is there once. A host that was asked before a migration's end was known says nothing of where that VM is
 * now: it is where it went; one that names the VM when it is asked later has it again.
 */
import type { FleetVm } from '../fleet/fleet-state.ts';
import type { Arrival, BegunMove } from './evacuation-port.ts';
import type { FleetPicture } from './fleet-picture.ts';
import type { UnderwayMove } from './underway.ts';

/** A migration that was begun, as whoever began it knows it. */
export interface RunningMove extends BegunMove {
  /** null: somebody else has begun it, and the hosts tell. */
  readonly fleetVm: FleetVm | null;
  readonly endsAtMs: number;
}

/** All VMs, each where it counts. @param from - the host that is left */
export function settleVms(
  vms: readonly FleetVm[],
  from: string,
  known: { underway(): readonly RunningMove[]; hasArrived(vm: string): boolean },
): FleetVm[] {
  const places = Map.groupBy(vms, ({ name }) => name);
  const underway = known.underway();
  const onWay = new Set(underway.map(({ move }) => move.vm));
  const stand = vms.filter(({ name, host }) => {
    if (onWay.has(name)) return false;
    // Its source has not struck it off yet.
    return !(host === from && known.hasArrived(name) && places.get(name)!.length > 1);
  });
  const moving = underway.flatMap(({ move, fleetVm }) => {
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

/** @param running - migrations of others: each counts once, whether its source tells of it yet or not */
export function withBegun(picture: FleetPicture, running: readonly RunningMove[]): FleetPicture {
  const isTold = ({ move }: RunningMove): boolean =>
    picture.underway.some(({ vm, from }) => vm === move.vm && from === move.from);
  const untold = running.filter((each) => !isTold(each)).map((each) => underwayOf(each, picture));
  return untold.length === 0 ? picture : { ...picture, underway: [...picture.underway, ...untold] };
}

function underwayOf({ move, id, requestId, fleetVm, endsAtMs }: RunningMove, { vms }: FleetPicture): UnderwayMove {
  const { vm, from, to, bytesPerSecond } = move;
  const known = fleetVm ?? vms.find((each) => each.fleetVm.name === vm)?.fleetVm;
  const ramBytes = known?.ramBytes ?? 0;
  return { id: id ?? requestId ?? vm, vm, from, to, bytesPerSecond, endsAtMs, ramBytes, waitingFor: null };
}

/** An older controller wrote down only how long it took. */
function knownAtMs({ endKnownAtMs, startedAtMs, totalMs }: Arrival): number {
  return endKnownAtMs ?? startedAtMs + totalMs;
}
