/**
 * The fleet as it will be while a plan is carried out: memory, bandwidth, contents at each host.
 *
 * Owns: time in a plan. Pure. Must hold: a host's memory is taken from the start of a migration to it, and given back by
 * the source at its end only, so that no host is over-committed at any moment; what sends nothing, and nobody knows until when,
 * keeps its memory at both ends and holds up nothing else.
 */
import { BandwidthAllocator } from './bandwidth-allocator.ts';
import { type FleetContents, pagesToBring } from './fleet-contents.ts';
import type { FleetState, FleetVm, Route } from './fleet-state.ts';
import { HeldContents, type PagesToBring } from './held-contents.ts';

export interface Underway extends Route {
  readonly vm: FleetVm;
  readonly bytesPerSecond: number;
  readonly endsAtMs: number;
}

/** Less is what predictions are off. */
const LEAST_LATE_MS = 1000;

export class ProjectedFleet {
  readonly allocator: BandwidthAllocator;
  readonly #contents: FleetContents;
  readonly #freeBytes: Map<string, number>;
  readonly #residents = new Map<string, FleetVm[]>();
  readonly #held = new Map<string, HeldContents>();
  /** What VMs that are underway bring, by name. */
  readonly #brought = new Map<string, HeldContents>();
  #underway: Underway[] = [];
  #nowMs: number;

  constructor(state: FleetState, contents: FleetContents) {
    this.#nowMs = state.nowMs;
    this.#contents = contents;
    this.allocator = new BandwidthAllocator(state.hosts, state.links, state.reservations);
    this.#freeBytes = new Map(state.hosts.map(({ name, memoryBytes }) => [name, memoryBytes]));
    for (const vm of state.vms) {
      this.#take(vm.host, vm.ramBytes);
      this.#residents.set(vm.host, [...(this.#residents.get(vm.host) ?? []), vm]);
    }
    const vms = new Map(state.vms.map((vm) => [vm.name, vm]));
    for (const { vm: name, state: move } of state.moves) {
      const vm = vms.get(name);
      if (move.kind !== 'running' || !vm) continue;
      const { to, bytesPerSecond, endsAtMs } = move;
      this.#take(to, vm.ramBytes);
      if (endsAtMs === null) continue;
      this.allocator.occupy({ from: vm.host, to }, bytesPerSecond);
      const endMs = expectedEndMs(endsAtMs, state.nowMs);
      this.#underway.push({ vm, from: vm.host, to, bytesPerSecond, endsAtMs: endMs });
    }
  }

  get nowMs(): number {
    return this.#nowMs;
  }

  get underway(): readonly Underway[] {
    return this.#underway;
  }

  freeBytes(host: string): number {
    return this.#freeBytes.get(host) ?? 0;
  }

  /** What the host holds by now. */
  heldAt(host: string): HeldContents {
    let held = this.#held.get(host);
    if (!held) {
      const numbers = (this.#residents.get(host) ?? []).flatMap(({ name }) => this.#contents.numbers.get(name) ?? []);
      held = new HeldContents(this.#contents.index, numbers);
      this.#held.set(host, held);
    }
    return held;
  }

  toBring(vm: FleetVm, host: string): PagesToBring {
    return pagesToBring(vm.dataPages, this.#contents.numbers.get(vm.name), this.heldAt(host));
  }

  /** The same once another VM has arrived where it is on its way to. */
  toBringAfter(vm: FleetVm, coming: Underway): PagesToBring {
    let brought = this.#brought.get(coming.vm.name);
    const numberOf = (name: string): number[] => [this.#contents.numbers.get(name) ?? []].flat();
    if (!brought) {
      brought = new HeldContents(this.#contents.index, numberOf(coming.vm.name));
      this.#brought.set(coming.vm.name, brought);
    }
    return pagesToBring(vm.dataPages, numberOf(vm.name)[0], this.heldAt(coming.to), brought);
  }

  start(started: Underway): void {
    this.allocator.grant(started, started.bytesPerSecond);
    this.#take(started.to, started.vm.ramBytes);
    this.#underway.push(started);
  }

  /** Time passes; what is over by then has ended. */
  advance(toMs: number): void {
    this.#nowMs = toMs;
    const ended = this.#underway.filter(({ endsAtMs }) => endsAtMs <= toMs);
    this.#underway = this.#underway.filter(({ endsAtMs }) => endsAtMs > toMs);
    for (const { vm, from, to, bytesPerSecond } of ended) {
      this.allocator.release({ from, to }, bytesPerSecond);
      this.#brought.delete(vm.name);
      this.#take(from, -vm.ramBytes);
      const held = this.heldAt(to);
      const number = this.#contents.numbers.get(vm.name);
      if (number !== undefined) held.add(number);
    }
  }

  #take(host: string, bytes: number): void {
    this.#freeBytes.set(host, this.freeBytes(host) - bytes);
  }
}

/** What is overdue is expected to be late by up to twice as much: plans that say so change ever more seldom. */
function expectedEndMs(endsAtMs: number, nowMs: number): number {
  if (endsAtMs > nowMs) return endsAtMs;
  const lateMs = Math.max(LEAST_LATE_MS, nowMs - endsAtMs);
  return endsAtMs + 2 ** Math.ceil(Math.log2(lateMs + 1));
}
