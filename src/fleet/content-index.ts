/**
 * Which VMs have which contents, for a whole fleet.
 *
 * Owns: the join of all samples. Must hold: it is built in time proportional to the samples' size: the keys are gone
 * through in ranges, each small enough for its hash table to stay in the CPU's cache (1000 VMs of 4 GiB are 16 million
 * keys). Contents that only one VM has are counted and forgotten: nothing is decided by them.
 */
import { KEY_LIMIT, type PageSample, SAMPLED_OF } from '../base/page-sample.ts';

export interface ContentIndex {
  readonly vmCount: number;
  /** Contents that at least two VMs have; they are numbered from 0. */
  readonly sharedCount: number;
  /** By VM: the numbers of its shared contents, and how many of its pages have each. */
  readonly shared: readonly { readonly contents: Uint32Array; readonly counts: Uint16Array }[];
  /** By VM: sampled pages, and sampled contents, that no other VM has. */
  readonly ownPages: Float64Array;
  readonly ownContents: Uint32Array;
  /** The VMs that have content c, ascending: holders[holdersFrom[c]] to holders[holdersFrom[c + 1] - 1]. */
  readonly holdersFrom: Uint32Array;
  readonly holders: Uint32Array;
  /** How many pages of each holder have it. */
  readonly holderCounts: Uint16Array;
}

/** Keys to a range: the table of one fits a CPU's second cache. */
const RANGE_KEYS = 32_768;
const NOBODY_ELSE = 0xffff_ffff;

export function indexContents(samples: readonly PageSample[]): ContentIndex {
  const total = samples.reduce((sum, { keys }) => sum + keys.length, 0);
  const ranges = Math.max(1, Math.ceil(total / RANGE_KEYS));
  const from = new Uint32Array(samples.length);
  const to = new Uint32Array(samples.length);
  const numbers = samples.map(({ keys }) => new Uint32Array(keys.length));
  let sharedCount = 0;
  for (let range = 1; range <= ranges; range++) {
    const limit = range === ranges ? Number.POSITIVE_INFINITY : (KEY_LIMIT / ranges) * range;
    let keysInRange = 0;
    samples.forEach(({ keys }, vm) => {
      let end = from[vm]!;
      while (end < keys.length && keys[end]! < limit) end++;
      to[vm] = end;
      keysInRange += end - from[vm]!;
    });
    sharedCount = numberRange({ samples, numbers, from, to, keysInRange, sharedCount });
    from.set(to);
  }
  return collect(samples, numbers, sharedCount);
}

/** Gives the contents of one range their numbers; returns the next free one. */
function numberRange(range: {
  readonly samples: readonly PageSample[];
  readonly numbers: readonly Uint32Array[];
  readonly from: Uint32Array;
  readonly to: Uint32Array;
  readonly keysInRange: number;
  readonly sharedCount: number;
}): number {
  const { samples, numbers, from, to } = range;
  const mask = 2 ** Math.ceil(Math.log2(2 * range.keysInRange + 2)) - 1;
  const table = new Float64Array(mask + 1).fill(-1);
  const locals = new Uint32Array(mask + 1);
  const holders = new Uint32Array(range.keysInRange);
  let known = 0;
  samples.forEach(({ keys }, vm) => {
    const mine = numbers[vm]!;
    for (let at = from[vm]!; at < to[vm]!; at++) {
      const key = keys[at]!;
      let slot = hashOf(key) & mask;
      while (table[slot] !== key && table[slot] !== -1) slot = (slot + 1) & mask;
      if (table[slot] === -1) {
        table[slot] = key;
        locals[slot] = known++;
      }
      mine[at] = locals[slot]!;
      holders[locals[slot]!]!++;
    }
  });
  let { sharedCount } = range;
  const given = new Uint32Array(known);
  for (let local = 0; local < known; local++) given[local] = holders[local]! > 1 ? sharedCount++ : NOBODY_ELSE;
  samples.forEach((_, vm) => {
    const mine = numbers[vm]!;
    for (let at = from[vm]!; at < to[vm]!; at++) mine[at] = given[mine[at]!]!;
  });
  return sharedCount;
}

function hashOf(key: number): number {
  // Two halves, mixed by a multiplication: keys of a range have their high bits in common.
  return Math.imul((key % 4_294_967_296) ^ (key / 4_294_967_296), 0x9e37_79b1) >>> 7;
}

function collect(samples: readonly PageSample[], numbers: readonly Uint32Array[], sharedCount: number): ContentIndex {
  const ownPages = new Float64Array(samples.length);
  const ownContents = new Uint32Array(samples.length);
  const holdersFrom = new Uint32Array(sharedCount + 1);
  const shared = samples.map(({ counts }, vm) => {
    const contents = numbers[vm]!;
    const kept = new Uint16Array(counts.length);
    let used = 0;
    for (let at = 0; at < contents.length; at++) {
      const content = contents[at]!;
      if (content === NOBODY_ELSE) {
        ownPages[vm]! += counts[at]!;
        ownContents[vm]!++;
        continue;
      }
      contents[used] = content;
      kept[used++] = counts[at]!;
      holdersFrom[content + 1]!++;
    }
    return { contents: contents.slice(0, used), counts: kept.slice(0, used) };
  });
  for (let content = 0; content < sharedCount; content++) holdersFrom[content + 1]! += holdersFrom[content]!;
  const next = holdersFrom.slice();
  const holders = new Uint32Array(holdersFrom[sharedCount]!);
  const holderCounts = new Uint16Array(holders.length);
  shared.forEach(({ contents, counts }, vm) => {
    for (let i = 0; i < contents.length; i++) {
      const at = next[contents[i]!]!++;
      holders[at] = vm;
      holderCounts[at] = counts[i]!;
    }
  });
  return { vmCount: samples.length, sharedCount, shared, ownPages, ownContents, holdersFrom, holders, holderCounts };
}

/** Different contents of a VM, estimated, as all numbers of pages that leave this file. */
export function contentsOf(index: ContentIndex, vm: number): number {
  return (index.ownContents[vm]! + index.shared[vm]!.contents.length) * SAMPLED_OF;
}
