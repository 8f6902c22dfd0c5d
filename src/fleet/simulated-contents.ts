/**
 * Which contents each host holds while an evacuation is simulated: those of all VMs that are there, or were.
 *
 * Pure. Must hold: what only one VM has is held by nobody else; a host of which nobody asks costs nothing.
 */
import type { FleetContents } from './fleet-contents.ts';
import type { FleetVm } from './fleet-state.ts';

export class SimulatedContents {
  readonly #contents: FleetContents;
  /** Names of VMs, by host. */
  readonly #residents: Map<string, string[]>;
  /** By host: 1 for each shared content that is there. */
  readonly #held = new Map<string, Uint8Array>();

  constructor(contents: FleetContents, vms: readonly FleetVm[]) {
    this.#contents = contents;
    this.#residents = new Map();
    for (const { name, host } of vms) this.#residentsOf(host).push(name);
  }

  /** Of a VM's pages, those whose contents the host has. */
  partOf(vm: string, host: string): number {
    const { index, numbers } = this.#contents;
    const number = numbers.get(vm);
    if (number === undefined) return 0;
    const held = this.#heldAt(host);
    const { contents, counts } = index.shared[number]!;
    let pages = index.ownPages[number]!;
    let heldPages = 0;
    for (let i = 0; i < contents.length; i++) {
      pages += counts[i]!;
      heldPages += held[contents[i]!]! * counts[i]!;
    }
    return heldPages / Math.max(1, pages);
  }

  arrive(vm: string, host: string): void {
    this.#residentsOf(host).push(vm);
    const held = this.#held.get(host);
    if (held) this.#add(held, vm);
  }

  #residentsOf(host: string): string[] {
    const known = this.#residents.get(host) ?? [];
    this.#residents.set(host, known);
    return known;
  }

  #heldAt(host: string): Uint8Array {
    let held = this.#held.get(host);
    if (!held) {
      held = new Uint8Array(this.#contents.index.sharedCount);
      for (const vm of this.#residentsOf(host)) this.#add(held, vm);
      this.#held.set(host, held);
    }
    return held;
  }

  #add(held: Uint8Array, vm: string): void {
    const number = this.#contents.numbers.get(vm);
    if (number === undefined) return;
    for (const content of this.#contents.index.shared[number]!.contents) held[content] = 1;
  }
}
