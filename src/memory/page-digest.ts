/**
 * The digest of one page: 128 bits of its contents and its number.
 *
 * Owns: the two schemes, and comparing pages that arrive with the digests that were sent along. Must hold: equal
 * contents at another page number have another digest; both hosts name the scheme.
 */
import { hash } from 'node:crypto';

import { GodwitError } from '../base/errors.ts';
import { countPages, PAGE_SIZE, type PageIndex, type PageRun } from '../base/page.ts';
import { available, hash128 } from '../linux/xxhash.ts';

/** xxh3-128 finds accidents at 5 GB/s; sha256 (its first 128 bits) is for hosts without libxxhash. */
export type DigestScheme = 'xxh3-128' | 'sha256';

export const PAGE_DIGEST_BYTES = 16;

/** What this host can compute, the best first. */
export function availableDigestSchemes(): DigestScheme[] {
  return available() ? ['xxh3-128', 'sha256'] : ['sha256'];
}

export interface PageDigest {
  readonly scheme: DigestScheme;
  /** Hashes the page that lies at byte `at` of `contents` into two words of `into`. */
  hashInto(contents: Uint8Array, at: number, page: PageIndex, into: BigUint64Array, slot: number): void;
  /** 16 bytes a page, in the order of the runs. The parts, each whole pages, hold the contents in that order. */
  digestParts(runs: readonly PageRun[], parts: readonly Uint8Array[]): Uint8Array;
  /** Throws GW_MIGRATION_VERIFY naming the first page whose contents do not have the digest given. */
  check(runs: readonly PageRun[], contents: Uint8Array, digests: Uint8Array): void;
}

/** Throws GW_SYS_UNSUPPORTED for xxh3-128 on a host without libxxhash. */
export function createPageDigest(scheme: DigestScheme): PageDigest {
  if (scheme === 'xxh3-128' && !available()) {
    throw new GodwitError('GW_SYS_UNSUPPORTED', { feature: 'XXH3 hashing', reason: 'libxxhash.so.0 is not installed' });
  }
  return scheme === 'xxh3-128' ? new PageHasher(scheme, hashXxh3) : new PageHasher(scheme, createSha256());
}

type HashPage = PageDigest['hashInto'];

class PageHasher implements PageDigest {
  readonly scheme: DigestScheme;
  readonly hashInto: HashPage;

  constructor(scheme: DigestScheme, hashInto: HashPage) {
    this.scheme = scheme;
    this.hashInto = hashInto;
  }

  digestParts(runs: readonly PageRun[], parts: readonly Uint8Array[]): Uint8Array {
    const words = new BigUint64Array(countPages(runs) * 2);
    let slot = 0;
    let part = 0;
    let at = 0;
    for (const { first, count } of runs) {
      for (let page = first; page < first + count; page++, slot += 2, at += PAGE_SIZE) {
        for (; part < parts.length && at >= parts[part]!.byteLength; part++) at = 0;
        if (part === parts.length) throw new RangeError('The runs have more pages than the parts');
        this.hashInto(parts[part]!, at, page, words, slot);
      }
    }
    return new Uint8Array(words.buffer);
  }

  check(runs: readonly PageRun[], contents: Uint8Array, digests: Uint8Array): void {
    const ours = Buffer.from(this.digestParts(runs, [contents]).buffer);
    if (ours.equals(digests)) return;
    let at = 0;
    for (const { first, count } of runs) {
      for (let page = first; page < first + count; page++, at += PAGE_DIGEST_BYTES) {
        const theirs = digests.subarray(at, at + PAGE_DIGEST_BYTES);
        if (ours.subarray(at, at + PAGE_DIGEST_BYTES).equals(theirs)) continue;
        throw new GodwitError('GW_MIGRATION_VERIFY', {
          reason: `page ${page} arrived with other contents than were sent`,
        });
      }
    }
    throw new RangeError(`${digests.byteLength} bytes of digests for ${ours.byteLength / PAGE_DIGEST_BYTES} pages`);
  }
}

function hashXxh3(contents: Uint8Array, at: number, page: PageIndex, into: BigUint64Array, slot: number): void {
  hash128(contents, at, PAGE_SIZE, page, into, slot);
}

/** The first 128 bits of SHA-256 of the page number (64 bits, little-endian) and the page. */
function createSha256(): HashPage {
  const message = Buffer.alloc(8 + PAGE_SIZE);
  return (contents, at, page, into, slot) => {
    message.writeBigUInt64LE(BigInt(page), 0);
    message.set(contents.subarray(at, at + PAGE_SIZE), 8);
    const digest = hash('sha256', message, 'buffer');
    into[slot] = digest.readBigUInt64LE(0);
    into[slot + 1] = digest.readBigUInt64LE(8);
  };
}
