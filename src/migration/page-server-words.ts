/** What the page pusher and the page server's thread share. */
import type { ErrorBody } from '../base/errors.ts';
import type { DigestScheme } from '../memory/digest.ts';
import type { RamLayoutJson } from '../memory/layout.ts';
import { FaultRing } from './fault-ring.ts';

export interface PageServerInput {
  readonly fd: number;
  readonly controlFd: number;
  readonly layout: RamLayoutJson;
  /** Paths of the regions' RAM files. */
  readonly files: readonly string[];
  /** One bit a page: the destination misses it and nobody has sent it. */
  readonly owed: SharedArrayBuffer;
  /** See `PageServerShared`. */
  readonly shared: SharedArrayBuffer;
  readonly verify: DigestScheme | null;
  /** Shared memory of the host's budget, which answers count in. */
  readonly hostBudget: SharedArrayBuffer;
}

/**
 * A request with this bit in its sequence is a rehearsal: who asked drops the answer. The VM may run at the source, or
 * at the destination after a reconnect, so the page stays owed, and no neighbourhood comes with it.
 */
export const REHEARSAL_SEQUENCE = 0x8000_0000;

/** Words of `shared`. */
export const PageServerShared = {
  /** Pages of the neighbourhood that one request brings, a power of two; written by the pusher. */
  window: 0,
  /** Bytes sent and received by this thread, in units of 256 bytes. */
  wireBytes256: 1,
  /** The first of a FaultRing: pages that were asked for. */
  faults: 2,
} as const;
const WORDS = PageServerShared.faults + FaultRing.WORDS;

export function createPageServerShared(windowPages: number): Int32Array<SharedArrayBuffer> {
  const words = new Int32Array(new SharedArrayBuffer(WORDS * Int32Array.BYTES_PER_ELEMENT));
  words[PageServerShared.window] = windowPages;
  return words;
}

/** Each thread has an object of its own, over the same words. */
export function faultsIn(words: Int32Array<SharedArrayBuffer>): FaultRing {
  return new FaultRing(words.subarray(PageServerShared.faults, WORDS));
}

export type PageServerReport =
  | { readonly kind: 'ready' }
  | { readonly kind: 'linkLost'; readonly reason: string }
  | { readonly kind: 'failed'; readonly error: ErrorBody };
