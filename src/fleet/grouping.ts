/**
 * Which VMs move as one group (B4).
 *
 * Owns: what every way of grouping is given and gives, and what holds for all of them. Pure. Must hold: every VM is in
 * exactly one group; VMs that share memory physically are always in one, whatever their contents are.
 */
import type { Commonality } from './commonality.ts';

export interface GroupingInput {
  /** By their numbers in the commonality. */
  readonly vms: readonly number[];
  readonly commonality: Commonality;
}

/** The first of each group goes first. */
export type Groups = readonly (readonly number[])[];

export type Grouping = (input: GroupingInput) => Groups;

/**
 * Contents in common that are not worth a group, as a part of the smaller VM's: looking for held pages costs a hash for
 * each page (algorithms.md, 5).
 */
export const WORTHWHILE_PART = 0.05;

/** Each VM by itself. */
export const groupNone: Grouping = ({ vms }) => vms.map((vm) => [vm]);

/** What a way of grouping says, with groups put together that share memory. */
export function groupVms(grouping: Grouping, input: GroupingInput): Groups {
  const { commonality, vms } = input;
  const groups = grouping(input).map((group) => [...group]);
  const groupOf = new Map(groups.flatMap((group) => group.map((vm) => [vm, group] as const)));
  for (const [i, a] of vms.entries()) {
    for (const b of vms.slice(i + 1)) {
      const [into, from] = [groupOf.get(a)!, groupOf.get(b)!];
      if (into === from || commonality.samePages(a, b) === 0) continue;
      for (const vm of from.splice(0)) {
        into.push(vm);
        groupOf.set(vm, into);
      }
    }
  }
  return groups.filter((group) => group.length > 0);
}

/** Contents in common, as a part of the smaller VM's. */
export function commonPart({ common }: Commonality, a: number, b: number): number {
  return common(a, b) / Math.max(1, Math.min(common(a, a), common(b, b)));
}
