/**
 * VMs that are begun at one moment and go to one host: those that share memory, and those that their owner wants together.
 *
 * Owns: which VMs are in one bundle, and the shares of the way that its members get. Pure. Must hold: a VM is in one bundle at
 * most; VMs that share memory are in one whatever else is asked for, since no host moves them otherwise (docs/sharing.md); a
 * bundle is begun whole or not at all.
 */
import type { PlannedMove } from '../fleet/plan.ts';

/** What is known of a VM. */
export interface BundledVm {
  readonly name: string;
  readonly host: string;
  /** Names of regions that it shares with others. */
  readonly regions: readonly string[];
}

export interface Bundle {
  readonly host: string;
  /** Ascending. */
  readonly vms: readonly string[];
  /** One of the regions that it shares: it moves by a migration of the host's group; null: each has one of its own. */
  readonly region: string | null;
}

/** @param together - sets of names; what is not on one host is not together */
export function findBundles(vms: readonly BundledVm[], together: readonly (readonly string[])[]): Bundle[] {
  const sharing = vms.filter(({ regions }) => regions.length > 0);
  const shared = joinAll(
    sharing.map(({ name, host, regions }) => ({ name, keys: regions.map((key) => `${host} ${key}`) })),
  );
  const taken = new Set(shared.flat());
  const byName = new Map(vms.map((vm) => [vm.name, vm]));
  const free = vms.filter(({ name }) => !taken.has(name));
  const wanted = joinAll(
    free.map(({ name, host }) => ({
      name,
      keys: together.flatMap((set, number) => (set.includes(name) ? [`${host} ${number}`] : [])),
    })),
  ).filter((names) => names.length > 1);
  const hostOf = (names: readonly string[]): string => byName.get(names[0]!)!.host;
  return [
    ...shared.map((names) => ({ host: hostOf(names), vms: names, region: byName.get(names[0]!)!.regions[0]! })),
    ...wanted.map((names) => ({ host: hostOf(names), vms: names, region: null })),
  ];
}

/**
 * Each member's share of what the way has, bytes a second: in proportion to what it is predicted to send, so that all are
 * predicted to be over at the same moment.
 */
export function shareWay(members: readonly PlannedMove[]): Map<string, number> {
  const limit = Math.max(...members.map(({ limitBytesPerSecond }) => limitBytesPerSecond));
  const all = members.reduce((sum, { prediction }) => sum + prediction.bytes.p50, 0);
  return new Map(
    members.map(({ vm, prediction }) => [vm, Math.max(1, (limit * prediction.bytes.p50) / Math.max(1, all))]),
  );
}

/** Names that have a key in common, directly or through others. */
function joinAll(all: readonly { readonly name: string; readonly keys: readonly string[] }[]): string[][] {
  const sets: { names: string[]; keys: Set<string> }[] = [];
  for (const { name, keys } of all) {
    const met = sets.filter((set) => keys.some((key) => set.keys.has(key)));
    const joined = { names: [name, ...met.flatMap(({ names }) => names)], keys: new Set(keys) };
    for (const set of met) for (const key of set.keys) joined.keys.add(key);
    for (const set of met) sets.splice(sets.indexOf(set), 1);
    sets.push(joined);
  }
  return sets.map(({ names }) => names.sort());
}
