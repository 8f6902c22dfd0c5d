/**
 * What hosts hold of the fleet's contents, and so what a VM that goes there still has to bring (B4).
 *
 * Owns: one set of contents for each host, and the order of a group by it. Must hold: a VM's pages whose contents the
 * destination holds cross the network as names; all others in full, also where one VM has a content twice: a destination
 * holds what has arrived, not what is on its way. Contents that only one VM of the fleet has are never held by another.
 */

import { SAMPLED_OF } from '../base/page-sample.ts';
import type { ContentIndex } from './content-index.ts';

/** Pages with data of a VM, estimated, by how they cross. */
export interface PagesToBring {
  readonly newPages: number;
  readonly heldPages: number;
}

export class HeldContents {
  readonly #index: ContentIndex;
  readonly #held: Uint8Array;

  constructor(index: ContentIndex, vms: Iterable<number> = []) {
    this.#index = index;
    this.#held = new Uint8Array(index.sharedCount);
    for (const vm of vms) this.add(vm);
  }

  clone(): HeldContents {
    const copy = new HeldContents(this.#index);
    copy.#held.set(this.#held);
    return copy;
  }

  add(vm: number): void {
    for (const content of this.#index.shared[vm]!.contents) this.#held[content] = 1;
  }

  /** @param more - what is held besides */
  toBring(vm: number, more?: HeldContents): PagesToBring {
    const { contents, counts } = this.#index.shared[vm]!;
    const alsoHeld = more === undefined ? this.#held : more.#held;
    let missing = this.#index.ownPages[vm]!;
    let held = 0;
    for (let i = 0; i < contents.length; i++) {
      const content = contents[i]!;
      if (this.#held[content] === 1 || alsoHeld[content] === 1) held += counts[i]!;
      else missing += counts[i]!;
    }
    return { newPages: missing * SAMPLED_OF, heldPages: held * SAMPLED_OF };
  }

  /**
   * The order in which VMs bring the least each: the first fills the host with what most others have, each next one has
   * the fewest new pages then. The time is that of the samples' size: a content is looked up among its holders once.
   *
   * @param first - who goes first; else the one with the fewest new pages
   */
  order(vms: readonly number[], first?: number): number[] {
    if (vms.length < 2 || (vms.length === 2 && first !== undefined)) {
      return [...vms].sort((a, b) => Number(b === first) - Number(a === first));
    }
    const { holders, holdersFrom, holderCounts, shared, vmCount } = this.#index;
    const held = this.#held.slice();
    const missing = new Float64Array(vmCount).fill(Number.POSITIVE_INFINITY);
    for (const vm of vms) missing[vm] = this.toBring(vm).newPages / SAMPLED_OF;
    const ordered: number[] = [];
    for (let next = first; ordered.length < vms.length; next = undefined) {
      const vm = next ?? vms.reduce((a, b) => (missing[b]! < missing[a]! ? b : a));
      missing[vm] = Number.POSITIVE_INFINITY;
      ordered.push(vm);
      for (const content of shared[vm]!.contents) {
        if (held[content] === 1) continue;
        held[content] = 1;
        // Of those that have gone, or do not go, nothing is missing any more: infinity stays infinity.
        for (let i = holdersFrom[content]!; i < holdersFrom[content + 1]!; i++)
          missing[holders[i]!]! -= holderCounts[i]!;
      }
    }
    return ordered;
  }
}
