/**
 * Where VMs go that have no destination of their own (B4).
 *
 * Owns: the choice. All ports would be done at one time if the work were divided evenly. Up to then a VM goes where it
 * brings least, so a group stays together; what is beyond goes where it is done soonest. Where VMs are not grouped their
 * contents are not looked at. Pure. Must hold: no host is given more than it will have room for once those that leave it have left; VMs that share memory
 * physically go to one host; a VM goes where it has failed to get to only if no other host has room, and where it has failed often
 * not at all.
 */
import { estimateSaving } from './commonality.ts';
import { type FleetContents, pagesToBring } from './fleet-contents.ts';
import type { FleetState, FleetVm } from './fleet-state.ts';
import type { HeldContents } from './held-contents.ts';
import type { Refusal } from './plan.ts';
import type { ProjectedFleet } from './projected-fleet.ts';
import { type Failed, isSpent, refuseFailed } from './retries.ts';

export interface Placed {
  readonly vm: FleetVm;
  /** As they were given. */
  readonly group: number;
  readonly to: string;
}

export interface Placement {
  readonly placed: readonly Placed[];
  readonly refused: readonly { readonly vm: string; readonly why: Refusal }[];
}

/** VMs that must go together, and where to if that is given. */
export interface Unit {
  readonly vms: readonly FleetVm[];
  readonly group: number;
  /** Of the whole group: where all of it has room is better than where a part has. */
  readonly groupBytes: number;
  readonly to: string | null;
}

/** Of many hosts with room those with most of it are looked at. */
const MAX_CANDIDATES = 16;

export class Placer {
  readonly #state: FleetState;
  readonly #fleet: ProjectedFleet;
  readonly #contents: FleetContents;
  /** What hosts will have free once everything that leaves has left. */
  readonly #freeBytes: Map<string, number>;
  /** Of each port, for what was placed. */
  readonly #loadsMs = new Map<string, number>();
  #evenMs = 0;
  readonly #held = new Map<string, HeldContents>();
  /** Of VMs that have failed, by their names. */
  readonly #failed: ReadonlyMap<string, Failed>;

  constructor(state: FleetState, fleet: ProjectedFleet, contents: FleetContents) {
    this.#state = state;
    this.#fleet = fleet;
    this.#contents = contents;
    this.#freeBytes = new Map(state.hosts.map(({ name }) => [name, fleet.freeBytes(name)]));
    for (const { vm, from } of fleet.underway) this.#give(from, -vm.ramBytes);
    this.#failed = new Map(
      state.moves.flatMap(({ vm, state: move }) => (move.kind === 'failed' ? [[vm, move] as const] : [])),
    );
  }

  /** In the order of the units: a unit that comes later takes what room is left. */
  place(units: readonly Unit[]): Placement {
    for (const vm of units.flatMap(({ vms }) => vms)) this.#give(vm.host, -vm.ramBytes);
    this.#evenMs = this.#measureEvenMs(units);
    const placed: Placed[] = [];
    const refused: { vm: string; why: Refusal }[] = [];
    for (const { vms, group, groupBytes, to: given } of units) {
      const neededBytes = vms.reduce((sum, { ramBytes }) => sum + ramBytes, 0);
      const to = given ?? this.#choose(vms, neededBytes, groupBytes);
      const freeBytes = Math.max(0, to === null ? this.#most(vms[0]!.host) : (this.#freeBytes.get(to) ?? 0));
      if (to === null || freeBytes < neededBytes) {
        for (const vm of vms) {
          // It stays, so its room is not free.
          this.#give(vm.host, vm.ramBytes);
          const failed = this.#failed.get(vm.name);
          const noRoom = { kind: 'noRoom', neededBytes, freeBytes } as const;
          refused.push({ vm: vm.name, why: failed && isSpent(failed) ? refuseFailed(failed) : noRoom });
        }
        continue;
      }
      this.#give(to, neededBytes);
      for (const vm of vms) {
        this.#load(vm, to);
        placed.push({ vm, group, to });
      }
    }
    return { placed, refused };
  }

  #choose(vms: readonly FleetVm[], neededBytes: number, groupBytes: number): string | null {
    const from = vms[0]!.host;
    const hasRoomForAll = (name: string): number => Number(this.#freeBytes.get(name)! >= groupBytes);
    const failures = vms.flatMap(({ name }) => this.#failed.get(name) ?? []);
    const avoided = new Set(failures.flatMap(({ failedAt }) => failedAt));
    const possible = this.#state.hosts
      .filter(({ name, takesVms }) => takesVms && name !== from && this.#freeBytes.get(name)! >= neededBytes)
      .filter(({ name }) => this.#fleet.allocator.most({ from, to: name }) > 0);
    const others = possible.filter(({ name }) => !avoided.has(name));
    const candidates = (others.length > 0 || failures.some(isSpent) ? others : possible)
      .map(({ name }) => ({ name, hasRoom: hasRoomForAll(name), freeBytes: this.#freeBytes.get(name)! }))
      .sort((a, b) => b.hasRoom - a.hasRoom || b.freeBytes - a.freeBytes)
      .slice(0, MAX_CANDIDATES);
    const options = candidates.map(({ name }) => {
      const bytes = vms.reduce((sum, vm) => sum + this.#bytesToBring(vm, name), 0);
      const ports = this.#ports(from, name);
      const loadMs = Math.max(...ports.map(({ port }) => this.#loadOf(port)));
      const doneMs = Math.max(...ports.map(({ port, rate }) => this.#loadOf(port) + (bytes * 1000) / rate));
      return { name, bytes, loadMs, doneMs };
    });
    const even = options.filter(({ loadMs }) => loadMs < this.#evenMs);
    if (even.length > 0) return even.reduce((a, b) => (b.bytes < a.bytes ? b : a)).name;
    return options.reduce((a, b) => (b.doneMs < a.doneMs ? b : a), options[0] ?? { name: null, doneMs: 0 }).name;
  }

  /** When the work would be done if it were divided evenly, and each group went to one host. */
  #measureEvenMs(units: readonly Unit[]): number {
    const bytesFrom = new Map<string, number>();
    for (const group of Map.groupBy(units, (unit) => unit.group).values()) {
      const vms = group.flatMap((unit) => unit.vms);
      const numbers = vms.flatMap(({ name }) => this.#contents.numbers.get(name) ?? []);
      const { union, saved } = estimateSaving(this.#contents.index, numbers.length > 1 ? numbers : []);
      const part = union.value > 0 ? union.value / (union.value + saved.value) : 1;
      const { from, to } = { from: vms[0]!.host, to: group[0]!.to ?? this.#state.hosts[0]!.name };
      const { link } = this.#state.expect(vms[0]!, to);
      const bytes = vms.reduce((sum, { dataPages }) => sum + dataPages * link.wholeBytes, 0) * part;
      bytesFrom.set(from, (bytesFrom.get(from) ?? 0) + bytes);
    }
    const receiving = this.#state.hosts.filter(({ name, takesVms }) => takesVms && !bytesFrom.has(name));
    const rate = receiving.reduce((sum, { receiveBytesPerSecond }) => sum + receiveBytesPerSecond, 0);
    const all = [...bytesFrom.values()].reduce((sum, bytes) => sum + bytes, 0);
    const ends = [...bytesFrom].map(([from, bytes]) => {
      const host = this.#state.hosts.find(({ name }) => name === from);
      return (bytes * 1000) / Math.max(1, host?.sendBytesPerSecond ?? 0);
    });
    return Math.max(0, ...ends, (all * 1000) / Math.max(1, rate));
  }

  #bytesToBring(vm: FleetVm, to: string): number {
    const isAware = this.#state.policy.grouping !== 'none';
    const number = isAware ? this.#contents.numbers.get(vm.name) : undefined;
    const { newPages } = pagesToBring(vm.dataPages, number, this.#heldAt(to));
    return newPages * this.#state.expect(vm, to).link.wholeBytes;
  }

  #load(vm: FleetVm, to: string): void {
    const bytes = this.#bytesToBring(vm, to);
    for (const { port, rate } of this.#ports(vm.host, to)) {
      this.#loadsMs.set(port, this.#loadOf(port) + (bytes * 1000) / rate);
    }
    const number = this.#contents.numbers.get(vm.name);
    if (number !== undefined) this.#heldAt(to).add(number);
  }

  #ports(from: string, to: string): { readonly port: string; readonly rate: number }[] {
    const ports = this.#fleet.allocator.bottlenecks({ from, to });
    return ports.map(({ name, bytesPerSecond }) => ({ port: name, rate: Math.max(1, bytesPerSecond) }));
  }

  #loadOf(port: string): number {
    return this.#loadsMs.get(port) ?? 0;
  }

  /** As it will be with those that are placed there. */
  #heldAt(host: string): HeldContents {
    let held = this.#held.get(host);
    if (!held) {
      held = this.#fleet.heldAt(host).clone();
      this.#held.set(host, held);
    }
    return held;
  }

  #most(except: string): number {
    const hosts = this.#state.hosts.filter(({ name, takesVms }) => takesVms && name !== except);
    return Math.max(0, ...hosts.map(({ name }) => this.#freeBytes.get(name)!));
  }

  /** Negative bytes are given back. */
  #give(host: string, bytes: number): void {
    this.#freeBytes.set(host, (this.#freeBytes.get(host) ?? 0) - bytes);
  }
}
