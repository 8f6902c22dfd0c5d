/**
 * Migrations that are under way in a fleet, whoever has begun them: what fills ports and memory beside what a plan starts.
 *
 * Owns: what their sources tell of them, and their place in what the planner is told. Pure. Must hold: each counts once, also
 * that of a VM that no host lists (post-copy), that the destination lists already, or that goes to a host that is not of the
 * fleet, or has not been heard yet; a plan can be made whatever runs.
 */
import type { OutlookView } from '../api/outlook-schema.ts';
import type { FleetState, FleetVm, Move } from '../fleet/fleet-state.ts';
import { idleCurve } from '../migration/dirty-curve.ts';
import { DEFAULT_MIGRATION_OPTIONS } from '../migration/request.ts';

export interface UnderwayMove {
  readonly id: string;
  readonly vm: string;
  readonly from: string;
  /** Name of the host; its address where it is none of the fleet. */
  readonly to: string;
  /** 0: not known yet. */
  readonly bytesPerSecond: number;
  readonly endsAtMs: number;
  readonly ramBytes: number;
  /** null: nothing. Else it sends nothing, and `endsAtMs` says nothing. */
  readonly waitingFor: string | null;
}

/** Of one that has not said yet how long it will take: it is asked again before. */
const UNKNOWN_REST_MS = 10_000;

export function underwayOf(
  heard: readonly { readonly outlook: OutlookView; readonly isSilent: boolean }[],
  addresses: ReadonlyMap<string, string>,
  nowMs: number,
): UnderwayMove[] {
  const names = new Map([...addresses].map(([name, address]) => [address, name]));
  return heard.flatMap(({ outlook: { host, outgoing }, isSilent }) =>
    outgoing.map(({ id, vm, to, bytesPerSecond, etaMs, ramBytes, waitingFor: told = null }) => {
      const endsAtMs = nowMs + (etaMs ?? UNKNOWN_REST_MS);
      // What it told last is no word of whether it still sends: memory that it may bring is kept for it, and no port.
      const waitingFor = told ?? (isSilent ? `host ${host}, which is silent` : null);
      return { id, vm, from: host, to: names.get(to) ?? to, bytesPerSecond, endsAtMs, ramBytes, waitingFor };
    }),
  );
}

/** Of a host of which nothing is known: nothing is sent there, and it is no bottleneck. */
const STRANGER = { memoryBytes: 0, sendBytesPerSecond: 0, receiveBytesPerSecond: Infinity, takesVms: false };

/**
 * The same state with these migrations in it, and with the hosts that any goes to. A VM that is on its way is not moved by
 * anybody else.
 */
export function withUnderway(state: FleetState, underway: readonly UnderwayMove[]): FleetState {
  const hosts = new Map(state.hosts.map((host) => [host.name, host]));
  for (const { state: move } of state.moves) {
    if (move.kind === 'running' && !hosts.has(move.to)) hosts.set(move.to, { name: move.to, ...STRANGER });
  }
  const vms = [...state.vms];
  const moves = new Map(state.moves.map((move) => [move.vm, move]));
  for (const each of underway) {
    const from = hosts.get(each.from);
    if (!from) continue;
    const to = hosts.get(each.to) ?? { name: each.to, ...STRANGER };
    hosts.set(to.name, to);
    let name = each.vm;
    if (!vms.some((vm) => vm.name === name && vm.host === each.from)) {
      // Its source lists it no more: it fills the way, and the destination's memory unless that lists it already.
      name = `${each.vm} on its way`;
      const isListed = vms.some((vm) => vm.name === each.vm);
      const ramBytes = isListed ? 0 : each.ramBytes;
      vms.push(placeholder(name, each.from, ramBytes));
      hosts.set(from.name, { ...from, memoryBytes: from.memoryBytes + ramBytes });
    }
    const most = Math.min(from.sendBytesPerSecond, to.receiveBytesPerSecond);
    const bytesPerSecond = each.bytesPerSecond > 0 ? Math.min(each.bytesPerSecond, most) : most;
    const endsAtMs = each.waitingFor === null ? each.endsAtMs : null;
    const running: Move['state'] = { kind: 'running', to: to.name, bytesPerSecond, endsAtMs };
    moves.set(name, { vm: name, to: to.name, deadlineAtMs: null, wantedSinceMs: state.nowMs, state: running });
  }
  return { ...state, hosts: [...hosts.values()], vms, moves: [...moves.values()] };
}

function placeholder(name: string, host: string, ramBytes: number): FleetVm {
  return {
    ...{ name, host, ramBytes, dataPages: 0, curve: idleCurve(0), period: null },
    ...{ options: DEFAULT_MIGRATION_OPTIONS, canThrottle: true, canPostCopy: true },
  };
}
