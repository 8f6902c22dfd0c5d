/**
 * What a migration's thread and its packing threads say to each other, and the memory that they share.
 *
 * Owns: the words. Must hold: a slot is the packing thread's from the job until its result, and the other's otherwise.
 */
import type { PageRun } from '../base/page.ts';
import { LINE_MASK_BYTES, MAX_PAGES_PER_FRAME } from '../wire/limits.ts';
import type { PackCodec, PackedRun } from '../wire/packed-pages.ts';
import type { SentLinesShared } from './sent-lines.ts';

const PAGE_BYTES = 4096;

/** One batch: `staging` holds its pages; `body` and `packed` are what comes out. */
export interface PackSlot {
  readonly staging: SharedArrayBuffer;
  readonly body: SharedArrayBuffer;
  readonly packed: SharedArrayBuffer;
}

export interface PackShared {
  readonly slots: readonly PackSlot[];
  /** null: what was sent is not remembered. */
  readonly lines: SentLinesShared | null;
}

/** What the destination holds already, and under which key. */
export interface HeldContents {
  readonly filter: Uint8Array<SharedArrayBuffer>;
  readonly key: Uint8Array;
}

export interface PackJob {
  readonly id: number;
  readonly slot: number;
  /** The pages in order, and where in the staging buffer they lie: each part counts pages of the buffer. */
  readonly runs: readonly PageRun[];
  readonly parts: readonly PageRun[];
  readonly codec: PackCodec;
  readonly level: number;
  /** Leave out what has not changed since it was sent. */
  readonly same: boolean;
  /** Name pages that the destination holds, where the packing threads know what it does. */
  readonly held: boolean;
  /** Send changed lines only, where that is less. */
  readonly delta: boolean;
}

export interface PackResult {
  readonly id: number;
  /** Without the pages that have not changed. */
  readonly runs: readonly PackedRun[];
  readonly samePages: number;
  readonly heldPages: number;
  readonly deltaPages: number;
  /** Of the whole pages that the deltas are for. */
  readonly deltaSavedBytes: number;
  readonly bodyBytes: number;
  /** `none` when packing does not pay; the body is in `body` then, else in `packed`. */
  readonly codec: PackCodec;
  readonly packedBytes: number;
  /** Nothing was left out and nothing packed: the pages can be sent from where they lie. */
  readonly plain: boolean;
  /** CPU time of the packing proper, and of finding what has changed. */
  readonly packMs: number;
  readonly compareMs: number;
  /** How long the packing proper took, with waiting for a CPU. */
  readonly wallMs: number;
}

export const BODY_BYTES: number = MAX_PAGES_PER_FRAME * (PAGE_BYTES + LINE_MASK_BYTES);

export function createSlot(): PackSlot {
  return {
    staging: new SharedArrayBuffer(MAX_PAGES_PER_FRAME * PAGE_BYTES),
    body: new SharedArrayBuffer(BODY_BYTES),
    packed: new SharedArrayBuffer(BODY_BYTES),
  };
}
