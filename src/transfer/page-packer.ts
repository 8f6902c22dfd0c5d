/**
 * One batch of pages through the steps that make it smaller: unchanged, duplicates, delta, compression (M2, G4).
 *
 * Owns: the steps' order and what each has saved. Must hold: it works on the staging copy alone, so that what is
 * compared is what is sent; a page that is left out is what the destination has, to the byte; one that is only
 * named is named by a fingerprint that no other page has.
 */
import { PAGE_SIZE } from '../base/page.ts';
import { type Codec, type CodecName, openCodec } from '../linux/compression.ts';
import { PageFilter } from '../memory/page-filter.ts';
import { PageFingerprint } from '../memory/page-fingerprint.ts';
import { FINGERPRINT_BYTES, LINE_BYTES, LINE_MASK_BYTES } from '../wire/limits.ts';
import { writeU32 } from '../wire/little-endian.ts';
import type { PackedKind, PackedRun } from '../wire/packed-pages.ts';
import type { HeldContents, PackJob, PackResult, PackShared } from './pack-words.ts';
import { type Difference, SentLines } from './sent-lines.ts';

/** A delta of more lines is no better than the page, which compresses better as a whole. */
const MAX_DELTA_LINES = 40;
/** A body that shrinks by less is not worth unpacking. */
const PAYS = 0.97;
const LINE_WORDS = LINE_BYTES / 4;
const PAGE_WORDS = PAGE_SIZE / 4;
const LINES_A_WORD = 32;

interface Slot {
  readonly staging: Int32Array;
  readonly stagingBytes: Uint8Array;
  readonly body: Uint8Array;
  readonly packed: Uint8Array;
}

export class PagePacker {
  readonly #slots: readonly Slot[];
  readonly #lines: SentLines | null;
  readonly #codecs = new Map<CodecName, Codec>();
  #held: HeldSearch | undefined;

  constructor(shared: PackShared) {
    this.#slots = shared.slots.map(({ staging, body, packed }) => ({
      staging: new Int32Array(staging),
      stagingBytes: new Uint8Array(staging),
      body: new Uint8Array(body),
      packed: new Uint8Array(packed),
    }));
    this.#lines = shared.lines && new SentLines(shared.lines);
  }

  /** From now on the destination holds these. */
  learn({ filter, key }: HeldContents): void {
    this.#held = { filter: new PageFilter(filter), fingerprint: new PageFingerprint(key) };
  }

  pack(job: PackJob): PackResult {
    const slot = this.#slots[job.slot]!;
    const startedMs = ownCpuMs();
    const body = new BodyBuilder(slot, job, job.held ? this.#held : undefined);
    const lines = job.same || job.delta ? this.#lines : null;
    let part = 0;
    let partAt = 0;
    for (const { first, count } of job.runs) {
      for (let page = first; page < first + count; page++) {
        for (; partAt === job.parts[part]!.count; part++) partAt = 0;
        const at = job.parts[part]!.first + partAt++;
        body.add(page, at, lines?.exchange(page, slot.staging, at * PAGE_WORDS));
      }
    }
    const comparedMs = ownCpuMs();
    const comparedAtMs = performance.now();
    const packedBytes = this.#compress(job, slot, body.bytes);
    return {
      id: job.id,
      runs: body.runs,
      samePages: body.samePages,
      heldPages: body.heldPages,
      deltaPages: body.deltaPages,
      deltaSavedBytes: body.deltaSavedBytes,
      bodyBytes: body.bytes,
      codec: packedBytes > 0 ? job.codec : 'none',
      packedBytes: packedBytes > 0 ? packedBytes : body.bytes,
      plain: packedBytes === 0 && body.samePages + body.heldPages + body.deltaPages === 0,
      packMs: ownCpuMs() - comparedMs,
      wallMs: performance.now() - comparedAtMs,
      compareMs: comparedMs - startedMs,
    };
  }

  /** 0 when it is not wanted or does not pay. */
  #compress({ codec, level }: PackJob, slot: Slot, bodyBytes: number): number {
    if (codec === 'none' || bodyBytes === 0) return 0;
    let opened = this.#codecs.get(codec);
    if (opened === undefined) {
      opened = openCodec(codec);
      this.#codecs.set(codec, opened);
    }
    const room = slot.packed.subarray(0, Math.floor(bodyBytes * PAYS));
    return opened.compress(slot.body.subarray(0, bodyBytes), room, level);
  }
}

/** CPU time of this thread. */
function ownCpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

interface HeldSearch {
  readonly filter: PageFilter;
  readonly fingerprint: PageFingerprint;
}

/** Puts a body together, and counts. */
class BodyBuilder {
  readonly runs: PackedRun[] = [];
  bytes = 0;
  samePages = 0;
  heldPages = 0;
  deltaPages = 0;
  deltaSavedBytes = 0;
  readonly #slot: Slot;
  readonly #steps: Pick<PackJob, 'same' | 'delta'>;
  readonly #held: HeldSearch | undefined;

  constructor(slot: Slot, steps: Pick<PackJob, 'same' | 'delta'>, held: HeldSearch | undefined) {
    this.#slot = slot;
    this.#steps = steps;
    this.#held = held;
  }

  /** The page lies at page `at` of the staging buffer. */
  add(page: number, at: number, difference: Readonly<Difference> | undefined): void {
    if (difference?.kind === 'same' && this.#steps.same) {
      this.samePages++;
    } else if (difference?.kind === 'changed' && this.#steps.delta && difference.lines <= MAX_DELTA_LINES) {
      this.#addRun(page, 'delta');
      this.#addDelta(at, difference);
    } else if (!this.#addHeld(page, at)) {
      this.#addRun(page, 'data');
      const { body, stagingBytes } = this.#slot;
      body.set(stagingBytes.subarray(at * PAGE_SIZE, (at + 1) * PAGE_SIZE), this.bytes);
      this.bytes += PAGE_SIZE;
    }
  }

  /** After the deltas: a page that was sent and has changed in a few lines is hardly one that somebody holds. */
  #addHeld(page: number, at: number): boolean {
    if (!this.#held) return false;
    const { body, stagingBytes } = this.#slot;
    const fingerprint = this.#held.fingerprint.of(stagingBytes, at * PAGE_SIZE);
    if (!this.#held.filter.mayHave(fingerprint)) return false;
    this.#addRun(page, 'held');
    body.set(fingerprint, this.bytes);
    this.bytes += FINGERPRINT_BYTES;
    this.heldPages++;
    return true;
  }

  #addDelta(at: number, { low, high, lines }: Readonly<Difference>): void {
    const { body, stagingBytes } = this.#slot;
    writeU32(body, this.bytes, low);
    writeU32(body, this.bytes + 4, high);
    this.bytes += LINE_MASK_BYTES;
    for (let line = 0; line < PAGE_WORDS / LINE_WORDS; line++) {
      const word = line < LINES_A_WORD ? low : high;
      if ((word & (1 << (line % LINES_A_WORD))) === 0) continue;
      const from = at * PAGE_SIZE + line * LINE_BYTES;
      body.set(stagingBytes.subarray(from, from + LINE_BYTES), this.bytes);
      this.bytes += LINE_BYTES;
    }
    this.deltaPages++;
    this.deltaSavedBytes += PAGE_SIZE - LINE_MASK_BYTES - lines * LINE_BYTES;
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
