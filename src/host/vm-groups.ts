/**
 * Which VMs belong together, because they share memory: directly, or through others (R1).
 *
 * Owns: what a group is and how it is named. Must hold: pure; every VM with a region is in exactly one group.
 */

export interface VmGroup {
  /** Of its regions the first by name; the name of each of them finds it. */
  readonly name: string;
  /** Names, sorted. */
  readonly regions: readonly string[];
  /** Names, sorted. */
  readonly vms: readonly string[];
}

/** @param regions - each with the names of the VMs that have it; those without VMs are in no group */
export function findGroups(regions: readonly { readonly name: string; readonly vms: readonly string[] }[]): VmGroup[] {
  const groups: { regions: string[]; vms: Set<string> }[] = [];
  for (const { name, vms } of regions) {
    if (vms.length === 0) continue;
    const joined = { regions: [name], vms: new Set(vms) };
    for (let at = groups.length - 1; at >= 0; at--) {
      const group = groups[at]!;
      if (!vms.some((vm) => group.vms.has(vm))) continue;
      joined.regions.push(...group.regions);
      for (const vm of group.vms) joined.vms.add(vm);
      groups.splice(at, 1);
    }
    groups.push(joined);
  }
  return groups
    .map(({ regions: names, vms }) => {
      const sorted = names.sort();
      return { name: sorted[0]!, regions: sorted, vms: [...vms].sort() };
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}
