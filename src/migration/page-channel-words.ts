/**
 * What a migration's thread and the threads of its page channels say to each other at the source.
 *
 * Owns: the words, and the memory that the threads share.
 */
import type { ErrorBody } from '../base/errors.ts';
import type { PageRun } from '../base/page.ts';
import { PageBitmap } from '../base/page-bitmap.ts';
import type { DigestScheme } from '../memory/digest.ts';
import type { RamLayoutJson } from '../memory/layout.ts';
import type { PackSteps } from '../transfer/pack-body.ts';
import type { HeldContents, PackOutcome, SentElsewhere } from '../transfer/page-packer.ts';
import type { SentPagesShared } from '../transfer/sent-pages.ts';
import type { ThreadRole } from './thread-priority.ts';

/** What all channels of a migration share. */
export interface SendingShared {
  readonly layout: RamLayoutJson;
  /** Paths of the regions' RAM files. */
  readonly files: readonly string[];
  /** One bit a page: the destination has content for it and must be told when it becomes zero. */
  readonly delivered: SharedArrayBuffer;
  /** null: what was sent is not remembered. */
  readonly sent: SentPagesShared | null;
}

/** What one channel is started with. */
export interface SendingInput extends SendingShared {
  /** See `SendingWords`. */
  readonly words: SharedArrayBuffer;
  /** [0] bytes that the kernel has taken, over all connections. */
  readonly sentBytes: SharedArrayBuffer;
  /** Readable when the thread is to give up what it is sending. */
  readonly interruptFd: number;
  readonly peer: string;
}

/** Words of `SendingInput.words`. */
export const SendingWords = {
  /** Counts on whenever a frame that waits for its turn may go. */
  gate: 0,
  /** 1: the connection is of no use any more. */
  isCut: 1,
} as const;
const SENDING_WORDS_BYTES = 8;

export function createSendingWords(): { readonly words: SharedArrayBuffer; readonly sentBytes: SharedArrayBuffer } {
  return { words: new SharedArrayBuffer(SENDING_WORDS_BYTES), sentBytes: new SharedArrayBuffer(8) };
}

export function createDelivered(pageCount: number): SharedArrayBuffer {
  return new SharedArrayBuffer(PageBitmap.byteLength(pageCount));
}

/** Pages to be sent as one frame, and what is asked of it. */
export interface SendJob {
  readonly runs: readonly PageRun[];
  /** undefined: they go as they are. */
  readonly steps: PackSteps | undefined;
  /** They need not be looked at, if they do not look like zero pages. */
  readonly isDirect: boolean;
  /** The destination has nothing of these pages and waits for them: it must hear of zero pages, too. */
  readonly awaited: boolean;
  /** A digest goes with every page. */
  readonly digest: DigestScheme | null;
  /** What is to be sent waits for its turn. */
  readonly isPaced: boolean;
}

export interface SendResult {
  readonly pages: number;
  readonly zeroPages: number;
  /** Of `pages`, sent after an earlier time. */
  readonly resentPages: number;
  readonly bytes: number;
  readonly frames: number;
  /** What the steps did; undefined where there were none. */
  readonly outcome: PackOutcome | undefined;
}

export type SendOrder =
  | { readonly kind: 'link'; readonly fd: number }
  | { readonly kind: 'send'; readonly id: number; readonly job: SendJob }
  | ({ readonly kind: 'held' } & HeldContents)
  | { readonly kind: 'share'; readonly elsewhere: SentElsewhere }
  | { readonly kind: 'priority'; readonly priority: ThreadRole }
  | { readonly kind: 'stop' };

export type SendReport =
  /** The descriptor of the latest connection is the thread's now. */
  | { readonly kind: 'linked' }
  | { readonly kind: 'noted'; readonly text: string }
  /** So many bytes wait for their turn. */
  | { readonly kind: 'packed'; readonly id: number; readonly bytes: number }
  | { readonly kind: 'sent'; readonly id: number; readonly result: SendResult }
  | { readonly kind: 'failed'; readonly id: number; readonly error: ErrorBody };
