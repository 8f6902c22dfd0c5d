/**
 * Whether a host may hold a page with some fingerprint: a Bloom filter, 12 bits for each page that it holds.
 *
 * Owns: the filter's bits. Must hold: what was added is found; of what was not, three in a thousand are found as well.
 * A fingerprint is random bits already, so that its parts serve as the filter's hashes.
 */

const BITS_PER_PAGE = 12;
/** The best number for 12 bits. */
const PROBES = 8;

export class PageFilter {
  readonly bytes: Uint8Array;
  readonly #bits: number;

  /** @param bytes - of a filter that somebody else has filled; at least one */
  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.#bits = bytes.length * 8;
  }

  static forPages(pages: number): PageFilter {
    return new PageFilter(new Uint8Array(Math.max(1, Math.ceil((pages * BITS_PER_PAGE) / 8))));
  }

  /** @param fingerprints - the one at byte `at` is added */
  add(fingerprints: Buffer, at = 0): void {
    let hash = fingerprints.readUInt32LE(at);
    const step = fingerprints.readUInt32LE(at + 4);
    for (let probe = 0; probe < PROBES; probe++, hash += step) {
      const bit = hash % this.#bits;
      this.bytes[bit >>> 3]! |= 1 << (bit & 7);
    }
  }

  mayHave(fingerprint: Buffer): boolean {
    let hash = fingerprint.readUInt32LE(0);
    const step = fingerprint.readUInt32LE(4);
    for (let probe = 0; probe < PROBES; probe++, hash += step) {
      const bit = hash % this.#bits;
      if ((this.bytes[bit >>> 3]! & (1 << (bit & 7))) === 0) return false;
    }
    return true;
  }
}
