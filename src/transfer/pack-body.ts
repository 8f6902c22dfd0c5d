/**
 * The body of a packedPages frame, page by page, before it is compressed: whole pages, changed lines, or names.
 *
 * Owns: which of these a page becomes, and counting. Must hold: a page that is only named is named by a fingerprint that
 * no other page has.
 */
import { PAGE_SIZE } from '../base/page.ts';
import type { PageFilter } from '../memory/page-filter.ts';
import type { PageFingerprint } from '../memory/page-fingerprint.ts';
import { ELSEWHERE_BYTES, FINGERPRINT_BYTES, LINE_BYTES, LINE_MASK_BYTES } from '../wire/limits.ts';
import { writeU32 } from '../wire/little-endian.ts';
import { type PackCodec, type PackedKind, type PackedRun, writeElsewhere } from '../wire/packed-pages.ts';
import type { SentContents } from './sent-contents.ts';
import type { Difference } from './sent-lines.ts';

/** Which steps a batch goes through. */
export interface PackSteps {
  readonly codec: PackCodec;
  readonly level: number;
  /** Leave out what has not changed since it was sent. */
  readonly same: boolean;
  /** Name pages that the destination holds, where it is known what it does. */
  readonly held: boolean;
  /** `name` pages that another VM brings to the destination; only `claim` what is sent, so that others can; or neither. */
  readonly elsewhere: 'name' | 'claim' | null;
  /** Send changed lines only, where that is less. */
  readonly delta: boolean;
}

/** For pages that the destination holds. */
export interface HeldSearch {
  readonly filter: PageFilter;
  readonly fingerprint: PageFingerprint;
}

/** For pages that other VMs bring to it. */
export interface ElsewhereSearch {
  readonly contents: SentContents;
  readonly fingerprint: PageFingerprint;
}

/** A delta of more lines is no better than the page, which compresses better as a whole. */
const MAX_DELTA_LINES = 40;
const LINE_WORDS = LINE_BYTES / 4;
const PAGE_WORDS = PAGE_SIZE / 4;
const LINES_A_WORD = 32;

export class PackBody {
  readonly runs: PackedRun[] = [];
  bytes = 0;
  samePages = 0;
  heldPages = 0;
  elsewherePages = 0;
  deltaPages = 0;
  deltaSavedBytes = 0;
  readonly #body: Uint8Array;
  readonly #steps: PackSteps;
  readonly #held: HeldSearch | undefined;
  readonly #elsewhere: ElsewhereSearch | undefined;

  constructor(
    body: Uint8Array,
    steps: PackSteps,
    held: HeldSearch | undefined,
    elsewhere: ElsewhereSearch | undefined,
  ) {
    this.#body = body;
    this.#steps = steps;
    this.#held = held;
    this.#elsewhere = elsewhere;
  }

  /** @param hash - of the page; undefined where it was not looked at */
  add(
    page: number,
    contents: Uint8Array,
    difference: Readonly<Difference> | undefined,
    hash: Int32Array | undefined,
  ): void {
    if (difference?.kind === 'same' && this.#steps.same) {
      this.samePages++;
    } else if (difference?.kind === 'changed' && this.#steps.delta && difference.lines <= MAX_DELTA_LINES) {
      this.#addRun(page, 'delta');
      this.#addDelta(contents, difference);
    } else if (!(hash && this.#addElsewhere(page, contents, hash)) && !this.#addHeld(page, contents)) {
      this.#addRun(page, 'data');
      this.#add(contents);
    }
  }

  /** Before what is held: it costs a fingerprint only where one is sent. */
  #addElsewhere(page: number, contents: Uint8Array, hash: Int32Array): boolean {
    const search = this.#elsewhere;
    if (!search) return false;
    if (this.#steps.elsewhere === 'claim') {
      search.contents.claim(hash, page);
      return false;
    }
    const place = search.contents.findOrClaim(hash, page);
    if (!place) return false;
    this.#addRun(page, 'elsewhere');
    const fingerprint = search.fingerprint.of(contents, 0);
    writeElsewhere(this.#body.subarray(this.bytes), { fingerprint, ...place });
    this.bytes += ELSEWHERE_BYTES;
    this.elsewherePages++;
    return true;
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
