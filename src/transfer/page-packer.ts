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
import { FINGERPRINT_BYTES, LINE_BYTES, LINE_MASK_BYTES, MAX_PAGES_PER_FRAME } from '../wire/limits.ts';
import { writeU32 } from '../wire/little-endian.ts';
import type { PackCodec, PackedKind, PackedRun } from '../wire/packed-pages.ts';
import type { Difference } from './sent-lines.ts';
import { SentPages, type SentPagesShared } from './sent-pages.ts';

/** What the destination holds already, and under which key. */
export interface HeldContents {
  readonly filter: Uint8Array<SharedArrayBuffer>;
  readonly key: Uint8Array;
}

/** Which steps a batch goes through. */
export interface PackSteps {
  readonly codec: PackCodec;
  readonly level: number;
  /** Leave out what has not changed since it was sent. */
  readonly same: boolean;
  /** Name pages that the destination holds, where it is known what it does. */
  readonly held: boolean;
  /** Send changed lines only, where that is less. */
  readonly delta: boolean;
}

/** What the steps did, for who chooses them. */
export interface PackOutcome {
  /** Of the batch. */
  readonly pages: number;
  readonly samePages: number;
  readonly heldPages: number;
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
/** A delta of more lines is no better than the page, which compresses better as a whole. */
const MAX_DELTA_LINES = 40;
/** A body that shrinks by less is not worth unpacking. */
const PAYS = 0.97;
const LINE_WORDS = LINE_BYTES / 4;
const PAGE_WORDS = PAGE_SIZE / 4;
const LINES_A_WORD = 32;

interface HeldSearch {
  readonly filter: PageFilter;
  readonly fingerprint: PageFingerprint;
}

export class PagePacker {
  readonly #body = new Uint8Array(BODY_BYTES);
  #packed: Uint8Array | undefined;
  readonly #sent: SentPages | null;
  readonly #codecs = new Map<CodecName, Codec>();
  #held: HeldSearch | undefined;

  /** @param sent - null: what was sent is not remembered */
  constructor(sent: SentPagesShared | null) {
    this.#sent = sent && new SentPages(sent);
  }

  /** From now on the destination holds these. */
  learn({ filter, key }: HeldContents): void {
    this.#held = { filter: new PageFilter(filter), fingerprint: new PageFingerprint(key) };
  }

  /** @param batch - its parts are views of one staging buffer */
  pack({ dataRuns, dataPages, parts }: PageBatch, steps: PackSteps): PackedBatch {
    const startedMs = readOwnCpuMs();
    const body = new BodyBuilder(this.#body, steps, steps.held ? this.#held : undefined);
    const sent = steps.same || steps.delta ? this.#sent : null;
    const words = parts.length > 0 ? new Int32Array(parts[0]!.buffer) : new Int32Array(0);
    let part = 0;
    let at = 0;
    for (const { first, count } of dataRuns) {
      for (let page = first; page < first + count; page++, at += PAGE_SIZE) {
        for (; at >= parts[part]!.length; part++) at = 0;
        const contents = parts[part]!.subarray(at, at + PAGE_SIZE);
        body.add(page, contents, sent?.exchange(page, words, contents.byteOffset / 4));
      }
    }
    const comparedMs = readOwnCpuMs();
    const comparedAtMs = performance.now();
    const packed = this.#compress(steps, body.bytes);
    const { samePages, heldPages, deltaPages, deltaSavedBytes } = body;
    const outcome: PackOutcome = {
      pages: dataPages,
      samePages,
      heldPages,
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
      isPlain: !packed && samePages + heldPages + deltaPages === 0,
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

/** Puts a body together, and counts. */
class BodyBuilder {
  readonly runs: PackedRun[] = [];
  bytes = 0;
  samePages = 0;
  heldPages = 0;
  deltaPages = 0;
  deltaSavedBytes = 0;
  readonly #body: Uint8Array;
  readonly #steps: Pick<PackSteps, 'same' | 'delta'>;
  readonly #held: HeldSearch | undefined;

  constructor(body: Uint8Array, steps: Pick<PackSteps, 'same' | 'delta'>, held: HeldSearch | undefined) {
    this.#body = body;
    this.#steps = steps;
    this.#held = held;
  }

  add(page: number, contents: Uint8Array, difference: Readonly<Difference> | undefined): void {
    if (difference?.kind === 'same' && this.#steps.same) {
      this.samePages++;
    } else if (difference?.kind === 'changed' && this.#steps.delta && difference.lines <= MAX_DELTA_LINES) {
      this.#addRun(page, 'delta');
      this.#addDelta(contents, difference);
    } else if (!this.#addHeld(page, contents)) {
      this.#addRun(page, 'data');
      this.#add(contents);
    }
  }

  /** After the deltas: a page that was sent and has changed in a few lines is hardly one that somebody holds. */
  #addHeld(page: number, contents: Uint8Array): boolean {
    if (!this.#held) return false;
    const fingerprint = this.#held.fingerprint.of(contents, 0);
    if (!this.#held.filter.mayHave(fingerprint)) return false;
    this.#addRun(page, 'held');
    this.#body.set(fingerprint, this.bytes);
    this.bytes += FINGERPRINT_BYTES;
    this.heldPages++;
    return true;
  }

  #addDelta(contents: Uint8Array, { low, high, lines }: Readonly<Difference>): void {
    writeU32(this.#body, this.bytes, low);
    writeU32(this.#body, this.bytes + 4, high);
    this.bytes += LINE_MASK_BYTES;
    for (let line = 0; line < PAGE_WORDS / LINE_WORDS; line++) {
      const word = line < LINES_A_WORD ? low : high;
      if ((word & (1 << (line % LINES_A_WORD))) === 0) continue;
      this.#add(contents.subarray(line * LINE_BYTES, (line + 1) * LINE_BYTES));
    }
    this.deltaPages++;
    this.deltaSavedBytes += PAGE_SIZE - LINE_MASK_BYTES - lines * LINE_BYTES;
  }

  #add(contents: Uint8Array): void {
    this.#body.set(contents, this.bytes);
    this.bytes += contents.length;
  }

  #addRun(page: number, kind: PackedKind): void {
    const last = this.runs.at(-1);
    if (last && last.kind === kind && last.first + last.count === page) {
      this.runs[this.runs.length - 1] = { first: last.first, count: last.count + 1, kind };
    } else {
      this.runs.push({ first: page, count: 1, kind });
    }
  }
}
