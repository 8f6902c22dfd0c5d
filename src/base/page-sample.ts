/**
 * A sample of a VM's pages by their contents, from which sizes of unions and intersections of VMs are known (B2, B3).
 *
 * Owns: which contents are in a sample, and the estimates for a few samples (content-index.ts is for many). Pure. Must
 * hold: whether a content is in the sample depends on the content alone (threshold sampling: its fingerprint is divisible
 * by `SAMPLED_OF`), so samples of all VMs and hosts are comparable as long as they use one key; zero and free pages are
 * left out before, or all VMs would look alike; pages of memory that VMs share physically are no VM's own.
 *
 * Each content is in with probability p = 1/64, so a count in the sample ÷ p is an unbiased estimate, with variance
 * (1 - p)/p² times the sum of the squares of what each content counts for.
 */

/** One content in so many. */
export const SAMPLED_OF = 64;
/** Of a fingerprint's 53 bits after those that say whether it is in. */
export const KEY_LIMIT = 2 ** 53;
/** A content that more pages of one VM have counts as so many. */
const MAX_COUNT = 65_535;

export interface PageSample {
  /** Ascending, each once: the key that tells one content from others. */
  readonly keys: Float64Array;
  /** How many pages of the VM have each. */
  readonly counts: Uint16Array;
}

export interface Estimate {
  readonly value: number;
  readonly standardError: number;
}

/**
 * The key of a content by its fingerprint, of which the first 8 bytes are read; null: it is not in any sample.
 * Chance gives one key to two contents: of 16 million, once in 70 fleets.
 */
export function sampleKey(fingerprint: Uint8Array): number | null {
  const low = fingerprint[0]!;
  if (low % SAMPLED_OF !== 0) return null;
  let key = low >> 6;
  for (let i = 1, factor = 4; i < 7; i++, factor *= 256) key += fingerprint[i]! * factor;
  // 2 + 48 bits so far.
  return key + (fingerprint[7]! % 8) * 2 ** 50;
}

/** @param keys - one for each sampled page, in any order */
export function createPageSample(keys: readonly number[] | Float64Array): PageSample {
  const sorted = Float64Array.from(keys).sort();
  const distinct = new Float64Array(sorted.length);
  const counts = new Uint16Array(sorted.length);
  let used = 0;
  for (const key of sorted) {
    if (used === 0 || distinct[used - 1] !== key) distinct[used++] = key;
    counts[used - 1] = Math.min(MAX_COUNT, counts[used - 1]! + 1);
  }
  return { keys: distinct.slice(0, used), counts: counts.slice(0, used) };
}

/** Pages with data of a VM. */
export function estimatePages({ counts }: PageSample): Estimate {
  return estimate(counts);
}

/** Different contents that any of the VMs has. */
export function estimateUnion(samples: readonly PageSample[]): Estimate {
  return estimate(countContents(samples, 1));
}

/** Different contents that all of the VMs have. */
export function estimateIntersection(samples: readonly PageSample[]): Estimate {
  return estimate(countContents(samples, samples.length));
}

/** Pages of one VM whose contents another has. */
export function estimateHeld(of: PageSample, by: PageSample): Estimate {
  const weights: number[] = [];
  let at = 0;
  of.keys.forEach((key, i) => {
    while (at < by.keys.length && by.keys[at]! < key) at++;
    if (by.keys[at] === key) weights.push(of.counts[i]!);
  });
  return estimate(weights);
}

/** An estimate from what each sampled content counts for. */
export function estimate(weights: Iterable<number>): Estimate {
  let sum = 0;
  let squares = 0;
  for (const weight of weights) {
    sum += weight;
    squares += weight * weight;
  }
  return { value: sum * SAMPLED_OF, standardError: Math.sqrt(squares * (SAMPLED_OF - 1) * SAMPLED_OF) };
}

/** A 1 for each content that so many samples have. */
function countContents(samples: readonly PageSample[], least: number): number[] {
  const holders = new Map<number, number>();
  for (const { keys } of samples) for (const key of keys) holders.set(key, (holders.get(key) ?? 0) + 1);
  return [...holders.values()].flatMap((count) => (count >= least ? [1] : []));
}
