/**
 * What has come of pages that were missing, by fault and by push.
 *
 * Owns: the counts and digests of both ways, put together.
 */
import { type DigestScheme, DigestSum, type MemoryDigest } from '../memory/digest.ts';
import type { FaultStatistics } from './fault-worker-words.ts';
import type { PostCopyReport } from './report.ts';

export interface PushedPages {
  readonly pages: number;
  /** Of these pages, with `--verify`; null: not all of it is known any more. */
  readonly digest: DigestSum | null;
}

export class PagingTally {
  faults: FaultStatistics = {
    faults: 0,
    p50Microseconds: 0,
    p99Microseconds: 0,
    pages: 0,
    wireBytes: 0,
    digest: { pages: 0, words: new BigUint64Array(2) },
  };
  pushedPages = 0;
  residentMs = 0;
  #pushedDigest: DigestSum | null = new DigestSum();

  addPushed({ pages, digest }: PushedPages): void {
    this.pushedPages += pages;
    if (digest) this.#pushedDigest?.addSum(digest);
    else this.#pushedDigest = null;
  }

  statistics(): Omit<PostCopyReport, 'missingPages' | 'reconnects'> {
    const { faults, p50Microseconds, p99Microseconds } = this.faults;
    return {
      faults,
      faultMicrosecondsP50: p50Microseconds,
      faultMicrosecondsP99: p99Microseconds,
      pushedPages: this.pushedPages,
      residentMs: this.residentMs,
    };
  }

  /** @param own - of what this thread has installed itself. null: not all of it is known any more */
  digest(scheme: DigestScheme, own: DigestSum): MemoryDigest | null {
    if (!this.#pushedDigest) return null;
    const sum = new DigestSum();
    sum.addSum(own);
    sum.addSum(this.#pushedDigest);
    sum.addWords(this.faults.digest.pages, this.faults.digest.words);
    return { scheme, pages: sum.pages, digest: sum.toHex(), chunks: [] };
  }
}
