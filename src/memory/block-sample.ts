/**
 * Samples of what is in a VM's memory at grains smaller than a page (B2).
 *
 * Owns: which blocks are in. Must hold: what holds of samples of pages (base/page-sample.ts). A block of a sixteenth of a page
 * is in with a sixteenth of the chance, so that every grain's sample has about as many keys, and estimates of bytes are as good.
 */

import { PAGE_SIZE } from '../base/page.ts';
import { createPageSample, type PageSample, SAMPLED_OF } from '../base/page-sample.ts';
import { BlockHash, LINE_BYTES } from './block-hash.ts';

/** Blocks that are looked at beside whole pages: a small allocation, and what a CPU's cache holds as one. */
export const BLOCK_GRAINS = [1024, 64] as const;
export type BlockGrain = (typeof BLOCK_GRAINS)[number];

/** One content in so many is in the sample. */
export function sampledOf(grainBytes: number): number {
  return SAMPLED_OF * (PAGE_SIZE / grainBytes);
}

export class BlockSampler {
  readonly #hash: BlockHash;
  readonly #keys: Record<BlockGrain, number[]> = { 1024: [], 64: [] };

  constructor(key: Uint8Array) {
    this.#hash = new BlockHash(key);
  }

  /** @param contents - whole pages, at an address that is a multiple of 4 */
  add(contents: Uint8Array): void {
    const words = new Int32Array(contents.buffer, contents.byteOffset, contents.byteLength / 4);
    for (let page = 0; page < contents.byteLength / PAGE_SIZE; page++) {
      this.#hash.look(words, page);
      for (const grain of BLOCK_GRAINS) {
        for (let block = 0; block < PAGE_SIZE / grain; block++) {
          const key = this.#hash.keyOf(block, grain / LINE_BYTES, sampledOf(grain));
          if (key !== null) this.#keys[grain].push(key);
        }
      }
    }
  }

  finish(): Record<BlockGrain, PageSample> {
    return { 1024: createPageSample(this.#keys[1024]), 64: createPageSample(this.#keys[64]) };
  }
}
