/**
 * Groups of two: the method of the fifth design (B4).
 *
 * Owns: the choice of pairs. The two VMs with most in common are the first pair, the two of the rest with most in common
 * the second, and so on; who finds no partner goes alone. Pure. The pairs are moved in the order of their predicted
 * times, and the rest is paired anew after each (next-plan.ts).
 */
import { commonPart, type Grouping, WORTHWHILE_PART } from './grouping.ts';

/** Two numbers of VMs fit below it, and a size in pages above it, within what a number counts exactly. */
const PAIR_LIMIT = 2 ** 26;
const VM_LIMIT = 2 ** 13;

export const groupPairs: Grouping = ({ vms, commonality }) => {
  if (vms.length > VM_LIMIT) throw new RangeError(`${vms.length} VMs, more than ${VM_LIMIT}`);
  const pairs: number[] = [];
  vms.forEach((a, i) => {
    for (let j = i + 1; j < vms.length; j++) {
      const b = vms[j]!;
      if (commonPart(commonality, a, b) < WORTHWHILE_PART) continue;
      pairs.push(Math.min(PAIR_LIMIT * 2 - 1, commonality.common(a, b)) * PAIR_LIMIT + i * VM_LIMIT + j);
    }
  });
  const paired = new Set<number>();
  const groups: number[][] = [];
  // By value: as numbers they need no comparison function, of which half a million calls would be felt.
  for (const pair of Float64Array.from(pairs).sort().reverse()) {
    const place = pair % PAIR_LIMIT;
    const [i, j] = [Math.floor(place / VM_LIMIT), place % VM_LIMIT];
    if (paired.has(i) || paired.has(j)) continue;
    paired.add(i).add(j);
    groups.push([vms[i]!, vms[j]!]);
  }
  return [...groups, ...vms.flatMap((vm, i) => (paired.has(i) ? [] : [[vm]]))];
};
