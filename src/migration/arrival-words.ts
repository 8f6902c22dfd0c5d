/**
 * What a migration's thread and the threads of its page channels say to each other at the destination.
 *
 * Owns: the words, and the memory that the threads share.
 */
import type { ErrorBody } from '../base/errors.ts';
import type { PageRun } from '../base/page.ts';
import { PageBitmap } from '../base/page-bitmap.ts';
import type { SharedContents } from '../memory/content-store.ts';
import type { DigestScheme } from '../memory/digest.ts';
import type { RamLayoutJson } from '../memory/layout.ts';
import type { MissingPages } from '../memory/page-installer.ts';
import type { ThreadRole } from './thread-priority.ts';

/** What one thread is started with, before anything is known of the VM. */
export interface ArrivalInput {
  /** Readable when an order waits. */
  readonly controlFd: number;
  readonly peer: string;
  readonly verify: DigestScheme | null;
  /** See `ArrivalWords`. All threads of a migration share them. */
  readonly words: SharedArrayBuffer;
  /** [0] bytes received. */
  readonly receivedBytes: SharedArrayBuffer;
}

/** Words of `ArrivalInput.words`. */
export const ArrivalWords = {
  /** Frames that are in place. */
  frames: 0,
  /** Somebody waits until so many frames are in place; 0: nobody does. */
  awaitedFrames: 1,
  /** Pages with content that came, zero pages that were missing included. */
  pages: 2,
  /** 1: all of the memory is in place, and nothing may change it from here. */
  isSealed: 3,
  /** Pages that were named and whose contents are still to come by another VM. */
  awaitedPages: 4,
  /** Bytes of frames that came before QEMU was there, and are kept until it is. */
  heldBytes: 5,
} as const;
const ARRIVAL_WORDS_BYTES = 24;

export function createArrivalWords(): Pick<ArrivalInput, 'words' | 'receivedBytes'> {
  return { words: new SharedArrayBuffer(ARRIVAL_WORDS_BYTES), receivedBytes: new SharedArrayBuffer(8) };
}

/** The VM's memory, and what is known of it. Sets of pages, a bit each. */
export interface ArrivingMemory {
  readonly layout: RamLayoutJson;
  /** Paths of the regions' RAM files. */
  readonly files: readonly string[];
  /** They hold what the source had. */
  readonly received: SharedArrayBuffer;
  /** The source has only named them, and they could not be found here: all of those, and those it was not told of. */
  readonly missed: SharedArrayBuffer;
  readonly untoldMissed: SharedArrayBuffer;
}

export function createArrivingMemory(
  layout: RamLayoutJson,
  files: readonly string[],
  pageCount: number,
): ArrivingMemory {
  const set = (): SharedArrayBuffer => new SharedArrayBuffer(PageBitmap.byteLength(pageCount));
  return { layout, files, received: set(), missed: set(), untoldMissed: set() };
}

/** How missing pages get into the running VM. */
export interface ArrivalPaging {
  readonly pid: number;
  /** Number of the userfaultfd inside QEMU. */
  readonly insideFd: number;
  readonly starts: readonly bigint[];
  readonly pages: MissingPages;
}

/** How pages of other VMs are found. */
export interface ElsewhereInput {
  /** See arrived-memories.ts. */
  readonly directory: string;
  /** Of fingerprints. */
  readonly key: Uint8Array;
}

export type ArrivalOrder =
  | { readonly kind: 'memory'; readonly memory: ArrivingMemory }
  | { readonly kind: 'held'; readonly contents: SharedContents }
  | { readonly kind: 'share'; readonly elsewhere: ElsewhereInput }
  /** Answered by `awaitedSettled`. */
  | { readonly kind: 'settleAwaited' }
  /** From now on pages are missing. */
  | { readonly kind: 'paging'; readonly paging: ArrivalPaging }
  | { readonly kind: 'link'; readonly fd: number }
  | { readonly kind: 'priority'; readonly priority: ThreadRole }
  | { readonly kind: 'tell' }
  | { readonly kind: 'stop' };

/** What a thread has installed of pages that were missing. */
export interface ArrivalStatistics {
  readonly pages: number;
  /** Their digests added up (DigestSum). */
  readonly digest: { readonly pages: number; readonly words: BigUint64Array };
}

export type ArrivalReport =
  /** The first frame came. */
  | { readonly kind: 'begun' }
  /** Now and then while frames come. */
  | { readonly kind: 'progress' }
  /** As many frames as somebody waits for are in place. */
  | { readonly kind: 'reached' }
  /** No page is missing any more. */
  | { readonly kind: 'allPresent' }
  /** Of missing pages these were only named, and they are not here. */
  | { readonly kind: 'notHeld'; readonly runs: readonly PageRun[] }
  /** No page is waited for any more. */
  | { readonly kind: 'awaitedSettled' }
  /** The descriptor of the latest connection is the thread's now. */
  | { readonly kind: 'linked' }
  | { readonly kind: 'linkLost'; readonly error: ErrorBody }
  | { readonly kind: 'failed'; readonly error: ErrorBody }
  /** The answer to `tell`. */
  | { readonly kind: 'statistics'; readonly statistics: ArrivalStatistics };
