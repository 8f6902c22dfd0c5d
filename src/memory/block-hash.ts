/**
 * What tells blocks smaller than a page apart by their contents: cheap enough to be made of every line of every page.
 *
 * Owns: the function. Must hold: two hosts with one key agree. It is no cryptographic hash: estimates are made from it and
 * candidates found; nothing is ever sent, or left unsent, because of it (that is what page-fingerprint.ts is for).
 *
 * Two lanes of 32 bits go through the sixteen words of a line; a block's hash is made from those of its lines, so that pages,
 * kibibytes and lines cost one pass.
 */
import { hash } from 'node:crypto';
import { PAGE_SIZE } from '../base/page.ts';

export const LINE_BYTES = 64;
const LINE_WORDS: number = LINE_BYTES / 4;
export const PAGE_LINES: number = PAGE_SIZE / LINE_BYTES;
const PAGE_WORDS: number = PAGE_SIZE / 4;
/** Odd, and with bits all over: those of splitmix and murmur. */
const LOW_FACTOR = 0x85eb_ca6b;
const HIGH_FACTOR = 0xc2b2_ae35;
/** Of a key: what a float holds exactly. */
const LOW_KEY_BITS = 21;

export class BlockHash {
  /** Of the lines of the page that was looked at last; of a line of zeros nothing that is to be used. */
  readonly low: Int32Array = new Int32Array(PAGE_LINES);
  readonly high: Int32Array = new Int32Array(PAGE_LINES);
  /** 1 where a line has anything but zeros. */
  readonly hasData: Uint8Array = new Uint8Array(PAGE_LINES);
  readonly #seeds: Int32Array;

  constructor(key: Uint8Array) {
    const digest = hash('sha256', Buffer.concat([Buffer.from('hash of blocks'), key]), 'buffer');
    this.#seeds = Int32Array.of(digest.readInt32LE(0), digest.readInt32LE(4));
  }

  /** @param page - number of the page within `words` */
  look(words: Int32Array, page: number): void {
    const [lowSeed, highSeed] = [this.#seeds[0]!, this.#seeds[1]!];
    for (let line = 0, at = page * PAGE_WORDS; line < PAGE_LINES; line++) {
      let low = lowSeed;
      let high = highSeed;
      let any = 0;
      for (const end = at + LINE_WORDS; at < end; at++) {
        const word = words[at]!;
        any |= word;
        low = Math.imul(low ^ word, LOW_FACTOR);
        low ^= low >>> 15;
        high = Math.imul(high ^ word, HIGH_FACTOR);
        high ^= high >>> 13;
      }
      this.low[line] = low;
      this.high[line] = high;
      this.hasData[line] = any === 0 ? 0 : 1;
    }
  }

  /**
   * The key of a block of the page that was looked at last; null: it is all zeros.
   *
   * @param lines - of the block
   * @param sampledOf - a power of two: of so many contents one has a key, the others null
   */
  keyOf(block: number, lines: number, sampledOf: number): number | null {
    const from = block * lines;
    let low = this.low[from]!;
    let hasData = this.hasData[from]!;
    for (let line = from + 1; line < from + lines; line++) {
      low = mix(low, this.low[line]!, LOW_FACTOR);
      hasData |= this.hasData[line]!;
    }
    if (hasData === 0 || (low & (sampledOf - 1)) !== 0) return null;
    let high = this.high[from]!;
    for (let line = from + 1; line < from + lines; line++) high = mix(high, this.high[line]!, HIGH_FACTOR);
    return (high >>> 0) * 2 ** LOW_KEY_BITS + (low >>> (32 - LOW_KEY_BITS));
  }
}

function mix(hash: number, part: number, factor: number): number {
  const mixed = Math.imul(hash ^ part, factor);
  return mixed ^ (mixed >>> 15);
}
