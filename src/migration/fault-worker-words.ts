/** What the missing-page pager and its fault service's thread say to each other. */
import type { ErrorBody } from '../base/errors.ts';
import type { DigestScheme } from '../memory/digest.ts';
import type { RamLayoutJson } from '../memory/layout.ts';
import type { MissingPages } from '../memory/page-installer.ts';

export interface FaultWorkerInput {
  readonly pid: number;
  /** Number of the userfaultfd inside QEMU. */
  readonly insideFd: number;
  readonly layout: RamLayoutJson;
  readonly starts: readonly bigint[];
  readonly pages: MissingPages;
  /** Readable when a message waits; the main thread's. */
  readonly controlFd: number;
  readonly verify: DigestScheme | null;
}

export type FaultOrder =
  /** A new urgent connection; the old one is of no use any more. */
  { readonly kind: 'link'; readonly fd: number } | { readonly kind: 'stop' };

export interface FaultStatistics {
  readonly faults: number;
  readonly p50Microseconds: number;
  readonly p99Microseconds: number;
  /** Pages that came over the urgent connection. */
  readonly pages: number;
  readonly wireBytes: number;
  /** The digests of the pages that it installed, added up (DigestSum). */
  readonly digest: { readonly pages: number; readonly words: BigUint64Array };
}

export type FaultReport =
  /** Faults are answered from now on. */
  | { readonly kind: 'ready' }
  /** The way to the page server and back was gone often enough to be quick from now on. */
  | { readonly kind: 'rehearsed' }
  | { readonly kind: 'linkLost'; readonly reason: string }
  | { readonly kind: 'allPresent' }
  | { readonly kind: 'failed'; readonly error: ErrorBody }
  | { readonly kind: 'stopped'; readonly statistics: FaultStatistics };
