/**
 * Groups around representatives: VMs that hold much of what others hold go first, and the others follow them.
 *
 * Owns: the choice of representatives. What a set R of them saves is f(R) = sum over all other VMs v of the most that v
 * has in common with one of R. A further representative adds less the more there are (f is submodular), so they are
 * chosen greedily, and lazily: a gain that was computed for a smaller set is an upper bound, and only the VM with the
 * highest bound is looked at again. Gains too small to be told from the samples' noise count as nothing, which leaves f
 * submodular. Pure. Must hold: nobody follows a representative with which it has next to nothing in common; the
 * representative is the first of its group.
 */
import type { Commonality } from './commonality.ts';
import { commonPart, type Grouping, WORTHWHILE_PART } from './grouping.ts';

export const groupAroundRepresentatives: Grouping = ({ vms, commonality }) => {
  const chosen = chooseRepresentatives(vms, commonality);
  const groups = new Map<number, number[]>(chosen.map((vm) => [vm, [vm]]));
  const alone: number[][] = [];
  for (const vm of vms) {
    if (groups.has(vm)) continue;
    const best = chosen.reduce<number | undefined>(
      (a, b) => (a === undefined || commonality.common(vm, b) > commonality.common(vm, a) ? b : a),
      undefined,
    );
    if (best !== undefined && commonPart(commonality, vm, best) >= WORTHWHILE_PART) groups.get(best)!.push(vm);
    else alone.push([vm]);
  }
  return [...groups.values(), ...alone];
};

function chooseRepresentatives(vms: readonly number[], commonality: Commonality): number[] {
  /** What each VM has in common with the best of those chosen. */
  const followed = new Map(vms.map((vm) => [vm, 0]));
  const chosen = new Set<number>();
  const gainOf = (candidate: number): number => {
    // A representative is sent in full: what it would have saved as a follower is lost.
    let gain = -followed.get(candidate)!;
    for (const vm of vms) {
      if (vm === candidate || chosen.has(vm)) continue;
      const more = commonality.common(vm, candidate) - followed.get(vm)!;
      if (more >= WORTHWHILE_PART * commonality.common(vm, vm)) gain += more;
    }
    return gain;
  };
  const bounds = new Map(vms.map((vm) => [vm, Number.POSITIVE_INFINITY]));
  for (;;) {
    let best: number | undefined;
    // The highest bound is brought up to date until the highest is one that is.
    const fresh = new Set<number>();
    for (;;) {
      best = highest(bounds);
      if (best === undefined || fresh.has(best)) break;
      bounds.set(best, gainOf(best));
      fresh.add(best);
    }
    if (best === undefined || bounds.get(best)! <= 0) return [...chosen];
    chosen.add(best);
    bounds.delete(best);
    for (const vm of vms) {
      if (vm !== best) followed.set(vm, Math.max(followed.get(vm)!, commonality.common(vm, best)));
    }
  }
}

function highest(bounds: ReadonlyMap<number, number>): number | undefined {
  let best: number | undefined;
  for (const [vm, bound] of bounds) if (best === undefined || bound > bounds.get(best)!) best = vm;
  return best;
}
