/**
 * What a group tracker and its thread that answers write faults share.
 *
 * Owns: the layout of the shared memory. Orders go through it and not as messages, because who asks which pages were
 * written waits for the answer without coming back to its event loop.
 */
import type { ErrorBody } from '../base/errors.ts';
import { PageBitmap } from '../base/page-bitmap.ts';
import type { GroupSetting } from '../base/tracker-choice.ts';
import type { RamLayoutJson } from '../memory/layout.ts';

/** Places in `words`; each has one writer. */
export const Word = {
  /** By the tracker: how often it has asked which pages were written. */
  asked: 0,
  /** By the thread: how often it has answered; who waits for it is notified. */
  answered: 1,
  /** By the tracker: 1 when the thread is to end. */
  stop: 2,
  /** By the thread: changes while it is alive. */
  beats: 3,
  /** By the tracker: changes while it is alive; where it does not, nobody is slowed any more. */
  renewals: 4,
  /** By the thread: 1 when it has failed; who waits for an answer is notified. */
  failed: 5,
} as const;

/** Places in `numbers`. */
export const Figure = {
  /** By the tracker. */
  budgetPages: 0,
  pagesPerSecond: 1,
  /** By the thread. */
  faults: 2,
  pacedFaults: 3,
  smallestPages: 4,
  largestPages: 5,
} as const;

/** Plain data, so that it can be posted. */
export interface WriteFaultShared {
  readonly words: Int32Array<SharedArrayBuffer>;
  readonly numbers: Float64Array<SharedArrayBuffer>;
  /** Pages that can be written now. */
  readonly granted: SharedArrayBuffer;
  /** Those that could before the last answer. */
  readonly collected: SharedArrayBuffer;
}

export interface WriteFaultInput {
  readonly pid: number;
  /** The userfaultfd, which the tracker keeps open longer than the thread lives. */
  readonly fd: number;
  /** Readable when there is an order; the tracker's. */
  readonly controlFd: number;
  readonly layout: RamLayoutJson;
  readonly starts: readonly bigint[];
  readonly setting: GroupSetting;
  /** Threads of QEMU that can be slowed; its others cannot, because QMP would be slow with them. */
  readonly vcpuTids: readonly number[];
  readonly canReturnMemory: boolean;
  readonly shared: WriteFaultShared;
}

export type WriteFaultReport =
  /** Faults are answered from now on. */
  { readonly kind: 'ready' } | { readonly kind: 'failed'; readonly error: ErrorBody };

export function createWriteFaultShared(pageCount: number): WriteFaultShared {
  const numbers = new Float64Array(new SharedArrayBuffer(Object.keys(Figure).length * 8));
  numbers[Figure.budgetPages] = Number.POSITIVE_INFINITY;
  numbers[Figure.pagesPerSecond] = Number.POSITIVE_INFINITY;
  return {
    words: new Int32Array(new SharedArrayBuffer(Object.keys(Word).length * 4)),
    numbers,
    granted: new SharedArrayBuffer(PageBitmap.byteLength(pageCount)),
    collected: new SharedArrayBuffer(PageBitmap.byteLength(pageCount)),
  };
}
