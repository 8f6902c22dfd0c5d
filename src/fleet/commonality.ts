/**
 * The degree of commonality of every pair of VMs (B3).
 *
 * Owns: the matrix. Pure. Must hold: equal contents and memory that VMs share physically are told apart: the first costs
 * a name instead of a page when the other VM has gone before, the second moves once whatever is done (docs/sharing.md).
 *
 * A content that k VMs have counts for k (k - 1) / 2 pairs. Where few have it each pair is counted; contents that many
 * have are bits, and two VMs have in common what is set in both. So 1000 VMs of one image take no longer than of many.
 */

import { type Estimate, SAMPLED_OF } from '../base/page-sample.ts';
import { type ContentIndex, contentsOf } from './content-index.ts';

/** Memory that VMs of one host share physically. */
export interface SharedRegion {
  readonly name: string;
  readonly pages: number;
}

export interface Commonality {
  readonly vmCount: number;
  /** Different contents that both have, estimated; of a VM with itself: all of its contents. */
  common(a: number, b: number): number;
  /** How far off `common` may be. */
  standardError(a: number, b: number): number;
  /** Pages of regions that both map. */
  samePages(a: number, b: number): number;
}

/** One pair costs as much as so many pairs of 32 bits: a content is a bit where more than VMs ÷ this have it. */
const PAIRS_A_WORD = 4;

/** @param regions - by VM; absent: none has any */
export function measureCommonality(
  index: ContentIndex,
  regions: readonly (readonly SharedRegion[])[] = [],
): Commonality {
  const { vmCount } = index;
  const matrix = new Uint32Array(vmCount * vmCount);
  countRare(index, matrix, manyFrom(vmCount));
  countFrequent(index, matrix, manyFrom(vmCount));
  for (let vm = 0; vm < vmCount; vm++) matrix[vm * vmCount + vm] = contentsOf(index, vm) / SAMPLED_OF;
  const sampled = (a: number, b: number): number => matrix[Math.min(a, b) * vmCount + Math.max(a, b)]!;
  return {
    vmCount,
    common: (a, b) => sampled(a, b) * SAMPLED_OF,
    standardError: (a, b) => Math.sqrt(sampled(a, b) * (SAMPLED_OF - 1) * SAMPLED_OF),
    samePages: (a, b) => samePages(regions[a] ?? [], regions[b] ?? []),
  };
}

/** What all of the VMs together have, each content once, and what they save by it: sum of all - union. */
export function estimateSaving(
  index: ContentIndex,
  vms: readonly number[],
): { readonly union: Estimate; readonly saved: Estimate } {
  const seen = new Uint8Array(index.sharedCount);
  let distinct = 0;
  let repeated = 0;
  for (const vm of vms) {
    distinct += index.ownContents[vm]!;
    for (const content of index.shared[vm]!.contents) {
      if (seen[content] === 0) distinct++;
      else repeated++;
      seen[content] = 1;
    }
  }
  const of = (count: number): Estimate => ({
    value: count * SAMPLED_OF,
    standardError: Math.sqrt(count * (SAMPLED_OF - 1) * SAMPLED_OF),
  });
  return { union: of(distinct), saved: of(repeated) };
}

function manyFrom(vmCount: number): number {
  return Math.max(8, Math.ceil(vmCount / PAIRS_A_WORD));
}

function countRare({ holders, holdersFrom, sharedCount, vmCount }: ContentIndex, matrix: Uint32Array, many: number) {
  for (let content = 0; content < sharedCount; content++) {
    const from = holdersFrom[content]!;
    const to = holdersFrom[content + 1]!;
    if (to - from >= many) continue;
    for (let i = from; i < to; i++) {
      const row = holders[i]! * vmCount;
      for (let j = i + 1; j < to; j++) matrix[row + holders[j]!]!++;
    }
  }
}

function countFrequent(index: ContentIndex, matrix: Uint32Array, many: number): void {
  const { holders, holdersFrom, sharedCount, vmCount } = index;
  let frequent = 0;
  for (let c = 0; c < sharedCount; c++) if (holdersFrom[c + 1]! - holdersFrom[c]! >= many) frequent++;
  const words = Math.ceil(frequent / 32);
  if (words === 0) return;
  const bits = new Uint32Array(vmCount * words);
  let bit = 0;
  for (let content = 0; content < sharedCount; content++) {
    const from = holdersFrom[content]!;
    const to = holdersFrom[content + 1]!;
    if (to - from < many) continue;
    for (let i = from; i < to; i++) bits[holders[i]! * words + (bit >>> 5)]! |= 1 << (bit & 31);
    bit++;
  }
  for (let a = 0; a < vmCount; a++) {
    for (let b = a + 1; b < vmCount; b++) {
      let count = 0;
      const shift = (b - a) * words;
      for (let word = a * words, end = word + words; word < end; word++) {
        count += countBits(bits[word]! & bits[word + shift]!);
      }
      matrix[a * vmCount + b]! += count;
    }
  }
}

function countBits(word: number): number {
  const pairs = word - ((word >>> 1) & 0x5555_5555);
  const fours = (pairs & 0x3333_3333) + ((pairs >>> 2) & 0x3333_3333);
  return Math.imul((fours + (fours >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}

function samePages(a: readonly SharedRegion[], b: readonly SharedRegion[]): number {
  return a.reduce((sum, { name, pages }) => sum + (b.some((region) => region.name === name) ? pages : 0), 0);
}
