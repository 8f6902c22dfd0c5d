/**
 * One batch of pages through the steps that make it smaller: unchanged, duplicates, delta, compression (M2, G4).
 *
 * Owns: the steps' order and what each has saved. Must hold: it works on the staging copy alone, so that what is
 * compared is what is sent; a page that is left out is what the destination has, to the byte; one that is only
 * named is named by a fingerprint that no other page has.
 */
import { PAGE_SIZE } from '../base/page.ts';
import { type Codec, type CodecName, openCodec } from '../linux/compression.ts';
import { readOwnCpuMs } from '../linux/thread-time.ts';
import { PageFilter } from '../memory/page-filter.ts';
import { PageFingerprint } from '../memory/page-fingerprint.ts';
import type { PageBatch } from '../memory/staging.ts';
import { LINE_MASK_BYTES, MAX_PAGES_PER_FRAME } from '../wire/limits.ts';
import type { PackCodec, PackedRun } from '../wire/packed-pages.ts';
import { type ElsewhereSearch, type HeldSearch, PackBody, type PackSteps } from './pack-body.ts';
import { SentContents, type SentContentsShared } from './sent-contents.ts';
import { SentPages, type SentPagesShared } from './sent-pages.ts';

/** What the destination holds already, and under which key. */
export interface HeldContents {
  readonly filter: Uint8Array<SharedArrayBuffer>;
  readonly key: Uint8Array;
}

/** What other VMs send or have sent to the destination, and under which key pages of theirs are named. */
export interface SentElsewhere {
  readonly contents: SentContentsShared;
  readonly key: Uint8Array;
}

/** What the steps did, for who chooses them. */
export interface PackOutcome {
  /** Of the batch. */
  readonly pages: number;
  readonly samePages: number;
  readonly heldPages: number;
  readonly elsewherePages: number;
  readonly deltaPages: number;
  /** Of the whole pages that the deltas are for. */
  readonly deltaSavedBytes: number;
  readonly bodyBytes: number;
  /** `none` when packing does not pay. */
  readonly codec: PackCodec;
  readonly packedBytes: number;
  /** CPU time of the packing proper, and of finding what has changed. */
  readonly packMs: number;
  readonly compareMs: number;
  /** How long the packing proper took, with waiting for a CPU. */
  readonly wallMs: number;
}

export interface PackedBatch {
  readonly outcome: PackOutcome;
  /** Without the pages that have not changed. */
  readonly runs: readonly PackedRun[];
  /** What is sent for them: a view that is valid until the next batch. */
  readonly packed: Uint8Array;
  /** Nothing was left out and nothing packed: the pages can be sent from where they lie. */
  readonly isPlain: boolean;
}

export const BODY_BYTES: number = MAX_PAGES_PER_FRAME * (PAGE_SIZE + LINE_MASK_BYTES);
/** A body that shrinks by less is not worth unpacking. */
const PAYS = 0.97;

/** Whether what is sent of each page is looked at, and remembered. */
export function looksAtPages({ same, delta, elsewhere }: PackSteps): boolean {
  return same || delta || elsewhere !== null;
}

export class PagePacker {
  readonly #body = new Uint8Array(BODY_BYTES);
  #packed: Uint8Array | undefined;
  readonly #sent: SentPages | null;
  readonly #codecs = new Map<CodecName, Codec>();
  #held: HeldSearch | undefined;
  #elsewhere: ElsewhereSearch | undefined;

  /** @param sent - null: what was sent is not remembered */
  constructor(sent: SentPagesShared | null) {
    this.#sent = sent && new SentPages(sent);
  }

  /** From now on the destination holds these. */
  learn({ filter, key }: HeldContents): void {
    this.#held = { filter: new PageFilter(filter), fingerprint: new PageFingerprint(key) };
  }

  /** From now on pages may be named that other VMs bring. */
  share({ contents, key }: SentElsewhere): void {
    this.#elsewhere = { contents: new SentContents(contents), fingerprint: new PageFingerprint(key) };
  }

  /** @param batch - its parts are views of one staging buffer */
  pack({ dataRuns, dataPages, parts }: PageBatch, steps: PackSteps): PackedBatch {
    const startedMs = readOwnCpuMs();
    const sent = looksAtPages(steps) ? this.#sent : null;
    const held = steps.held ? this.#held : undefined;
    const body = new PackBody(this.#body, steps, held, steps.elsewhere ? this.#elsewhere : undefined);
    const words = parts.length > 0 ? new Int32Array(parts[0]!.buffer) : new Int32Array(0);
    let part = 0;
    let at = 0;
    for (const { first, count } of dataRuns) {
      for (let page = first; page < first + count; page++, at += PAGE_SIZE) {
        for (; at >= parts[part]!.length; part++) at = 0;
        const contents = parts[part]!.subarray(at, at + PAGE_SIZE);
        const difference = sent?.exchange(page, words, contents.byteOffset / 4);
        body.add(page, contents, difference, sent?.hash);
      }
    }
    const comparedMs = readOwnCpuMs();
    const comparedAtMs = performance.now();
    const packed = this.#compress(steps, body.bytes);
    const { samePages, heldPages, elsewherePages, deltaPages, deltaSavedBytes } = body;
    const outcome: PackOutcome = {
      pages: dataPages,
      samePages,
      heldPages,
      elsewherePages,
      deltaPages,
      deltaSavedBytes,
      bodyBytes: body.bytes,
      codec: packed ? steps.codec : 'none',
      packedBytes: packed?.length ?? body.bytes,
      packMs: readOwnCpuMs() - comparedMs,
      wallMs: performance.now() - comparedAtMs,
      compareMs: comparedMs - startedMs,
    };
    return {
      outcome,
      runs: body.runs,
      packed: packed ?? this.#body.subarray(0, body.bytes),
      isPlain: !packed && samePages + heldPages + elsewherePages + deltaPages === 0,
    };
  }

  /** The destination has something else of these pages now than was packed last. */
  forget(first: number, count: number): void {
    this.#sent?.forget(first, count);
  }

  /** undefined when it is not wanted or does not pay. */
  #compress({ codec, level }: PackSteps, bodyBytes: number): Uint8Array | undefined {
    if (codec === 'none' || bodyBytes === 0) return undefined;
    let opened = this.#codecs.get(codec);
    if (opened === undefined) {
      opened = openCodec(codec);
      this.#codecs.set(codec, opened);
    }
    this.#packed ??= new Uint8Array(BODY_BYTES);
    const room = this.#packed.subarray(0, Math.floor(bodyBytes * PAYS));
    const bytes = opened.compress(this.#body.subarray(0, bodyBytes), room, level);
    return bytes > 0 ? room.subarray(0, bytes) : undefined;
  }
}
