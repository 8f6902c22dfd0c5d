/**
 * What the VMs of one host have in common, at one grain: a matrix of contents that both of two VMs have (B3).
 *
 * Owns: the counting, exactly or from samples. Must hold: contents are counted, not blocks: one that a VM has a thousand times counts once;
 * zeros count nowhere. The exact count trusts no hash: blocks that look alike are compared byte by byte, and those that differ
 * after all (their VM has written meanwhile, or two contents have one hash) are counted as refuted.
 */
import { countPages, PAGE_SIZE, type PageRun } from '../base/page.ts';
import type { PageSample } from '../base/page-sample.ts';
import { BlockHash, LINE_BYTES } from './block-hash.ts';
import { BlockReader, type ReadableMemory } from './block-reader.ts';

export interface CommonContents {
  /** [a][b]: contents that both have; [a][a]: all contents of a. */
  readonly common: readonly Float64Array[];
  /** Candidates that were not equal. */
  readonly refuted: number;
}

/** Of so many contents one look is made, in a table of up to 48 MB beside what is kept of contents that several have. */
const MOST_KEYS = 2 ** 20;
/** Looks, each through all of the memory twice: 256 GiB of pages, 64 GiB of kibibytes, 4 GiB of lines. */
const MOST_PARTS = 64;
const EMPTY = -1;
const SEVERAL = 0xffff;

export function countSampled(samples: readonly PageSample[]): CommonContents {
  const common = emptyMatrix(samples.length);
  const holders = new Map<number, number[]>();
  for (const [vm, { keys }] of samples.entries()) {
    for (const key of keys) {
      const known = holders.get(key);
      if (known) known.push(vm);
      else holders.set(key, [vm]);
    }
  }
  for (const vms of holders.values()) countPairs(common, vms);
  return { common, refuted: 0 };
}

/** null: there is too much of it for this grain. @param goOn - called all the time; throws to end it */
export function countExactly(
  memories: readonly ReadableMemory[],
  grainBytes: number,
  key: Uint8Array,
  goOn: () => void,
): CommonContents | null {
  const runs = memories.map((memory) => memory.dataRuns());
  const blocks = runs.reduce((sum, each) => sum + countPages(each), 0) * (PAGE_SIZE / grainBytes);
  const parts = 2 ** Math.max(0, Math.ceil(Math.log2(blocks / MOST_KEYS)));
  if (parts > MOST_PARTS) return null;
  const common = emptyMatrix(memories.length);
  let refuted = 0;
  for (let part = 0; part < parts; part++) {
    const look: Look = { memories, runs, hash: new BlockHash(key), grainBytes, part, parts, goOn };
    refuted += countPart(look, common, Math.ceil(blocks / parts));
  }
  return { common, refuted };
}

interface Look {
  readonly memories: readonly ReadableMemory[];
  readonly runs: readonly (readonly PageRun[])[];
  readonly hash: BlockHash;
  readonly grainBytes: number;
  readonly part: number;
  readonly parts: number;
  goOn(): void;
}

/** Returns how many candidates were refuted. */
function countPart(look: Look, common: readonly Float64Array[], expected: number): number {
  const table = new KeyTable(expected);
  eachBlock(look, (vm, key) => {
    const slot = table.slotOf(key);
    const holder = table.holders[slot]!;
    table.holders[slot] = holder === EMPTY || holder === vm ? vm : SEVERAL;
  });
  const words = Math.ceil(common.length / 32);
  const shared = new Map<number, { vm: number; at: number; readonly holders: Uint32Array }>();
  const reader = new BlockReader(look.memories, look.grainBytes);
  let refuted = 0;
  eachBlock(look, (vm, key, at, bytes) => {
    if (table.holders[table.find(key)] !== SEVERAL) return;
    const known = shared.get(key);
    if (!known) {
      const holders = new Uint32Array(words);
      holders[vm >>> 5]! |= 1 << (vm & 31);
      shared.set(key, { vm, at, holders });
    } else if (((known.holders[vm >>> 5]! >>> (vm & 31)) & 1) === 0) {
      if (reader.isEqual(known.vm, known.at, bytes)) known.holders[vm >>> 5]! |= 1 << (vm & 31);
      else refuted++;
    }
  });
  for (const holder of table.holders) if (holder !== EMPTY && holder !== SEVERAL) common[holder]![holder]!++;
  for (const { holders } of shared.values()) countPairs(common, vmsOf(holders));
  return refuted;
}

/** @param use - `at` counts blocks from the VM's first page; `bytes` are valid during the call */
function eachBlock(
  { memories, runs, hash, grainBytes, part, parts, goOn }: Look,
  use: (vm: number, key: number, at: number, bytes: Uint8Array) => void,
): void {
  const perPage = PAGE_SIZE / grainBytes;
  for (const [vm, memory] of memories.entries()) {
    BlockReader.eachPage(memory, runs[vm]!, (page, contents, words, index) => {
      if (index === 0) goOn();
      hash.look(words, index);
      for (let block = 0; block < perPage; block++) {
        const key = hash.keyOf(block, grainBytes / LINE_BYTES, 1);
        if (key === null || key % parts !== part) continue;
        const from = index * PAGE_SIZE + block * grainBytes;
        use(vm, key, page * perPage + block, contents.subarray(from, from + grainBytes));
      }
    });
  }
}

/** Keys with who has them; open addressing. */
class KeyTable {
  readonly holders: Int32Array;
  readonly #keys: Float64Array;
  readonly #mask: number;

  constructor(expected: number) {
    const size = 2 ** Math.ceil(Math.log2(2 * expected * MORE_KEYS + 2));
    this.#mask = size - 1;
    this.#keys = new Float64Array(size).fill(EMPTY);
    this.holders = new Int32Array(size).fill(EMPTY);
  }

  /** Where the key is; it is put there if it is nowhere. */
  slotOf(key: number): number {
    const slot = this.find(key);
    this.#keys[slot] = key;
    return slot;
  }

  /** Where the key is, or would be. */
  find(key: number): number {
    let slot = Math.imul((key % 4_294_967_296) ^ (key / 4_294_967_296), 0x9e37_79b1) >>> 0;
    for (slot &= this.#mask; this.#keys[slot] !== key && this.#keys[slot] !== EMPTY; ) slot = (slot + 1) & this.#mask;
    return slot;
  }
}

/** Parts are not quite even, and VMs write while they are looked at. */
const MORE_KEYS = 1.3;

function emptyMatrix(size: number): Float64Array[] {
  return Array.from({ length: size }, () => new Float64Array(size));
}

function vmsOf(holders: Uint32Array): number[] {
  return [...holders].flatMap((bits, word) =>
    Array.from({ length: 32 }, (_, bit) => bit).flatMap((bit) => ((bits >>> bit) & 1 ? [word * 32 + bit] : [])),
  );
}

function countPairs(common: readonly Float64Array[], vms: readonly number[]): void {
  for (const a of vms) for (const b of vms) common[a]![b]!++;
}
