/**
 * What a round of pre-copy shows while it goes on: how far it is, how fast the link takes it, how the VM modifies memory.
 *
 * Owns: samples of the dirty curve, taken by looking at the tracker without clearing it, at times that double; and the
 * counts of the round that is underway. Must hold: looking costs next to nothing, however large the VM: of a large one a
 * part is looked at, spread evenly over its memory.
 */
import { type Clock, SYSTEM_CLOCK } from '../base/clock.ts';
import { countPages, PAGE_SIZE, type PageRun } from '../base/page.ts';
import type { DirtyTracker } from '../memory/dirty-tracker.ts';
import { type DirtyCurve, type DirtySample, fitDirtyCurve } from './dirty-curve.ts';
import { FRAME_OVERHEAD_BYTES, type MeasuredRound, MIN_SAMPLE_PAGES, SMALL_PART } from './dirty-estimate.ts';
import type { Residue } from './finish-by.ts';
import type { Underway } from './round-model.ts';

/** Of the connection, since it was opened. */
export interface LinkCounts {
  readonly sentBytes: number;
  readonly acknowledgedBytes: number;
  /** Pages that were looked at: with content, or found zero. */
  readonly pages: number;
  /** Of `pages`, those that were found zero. */
  readonly zeroPages: number;
  /** Of `pages`, those of which no contents went: only named, or unchanged. */
  readonly leftOutPages: number;
}

export interface RoundWatchPort {
  readonly tracker: Pick<DirtyTracker, 'peek'>;
  readonly pageCount: number;
  link(): LinkCounts;
}

/** Looked at in a millisecond or less (PAGEMAP_SCAN does 256 MiB in 0.5 ms). */
const MAX_LOOKED_PAGES = 65_536;
/** 2 MiB, what one page of the kernel's page tables holds. */
const WINDOW_PAGES = 512;
/** The first look of a round; each further one after twice the time. */
const FIRST_LOOK_MS = 20;
/** A count of modified pages is used again for so long. */
const FRESH_MS = 100;
/** Of samples of the round before, of the one before that, … */
const OLDER_WEIGHT = 0.4;
/** Five rounds back. */
const MIN_WEIGHT = 0.01;
/** A rate over less says little: buffers fill first, the steps of packing find what is fastest, machines are shared. */
const RATE_MS = 1000;
/** What comes before is not counted in the mean, where there is more. */
const WARM_UP_MS = 200;
/** Before a pass has shown this part of its pages, what is ahead is taken for incompressible … */
const KNOWN_PART = 0.1;
/** … and afterwards for so many times as large as what it has shown, at most. */
const UNSEEN_TIMES = 1.3;

export class RoundWatch {
  readonly #port: RoundWatchPort;
  readonly #clock: Clock;
  readonly #windows: readonly PageRun[];
  readonly #scale: number;
  #samples: DirtySample[] = [];
  #curve: DirtyCurve | null = null;
  #share = 1;
  #isFirst = true;
  #pages = 0;
  #aheadPages = 0;
  #skippedPages = 0;
  #begunMs = 0;
  #begun: LinkCounts = { sentBytes: 0, acknowledgedBytes: 0, pages: 0, zeroPages: 0, leftOutPages: 0 };
  #recent = { atMs: 0, acknowledgedBytes: 0, bytesPerSecond: 0 };
  #warm: { readonly bytes: number; readonly ms: number } | undefined;
  #nextLookMs = 0;
  #looked = { atMs: 0, pages: 0 };

  constructor(port: RoundWatchPort, clock: Clock = SYSTEM_CLOCK) {
    this.#port = port;
    this.#clock = clock;
    this.#windows = chooseWindows(port.pageCount);
    this.#scale = port.pageCount / Math.max(1, countPages(this.#windows));
  }

  /** null while nothing was seen. */
  get curve(): DirtyCurve | null {
    if (this.#samples.length === 0) return null;
    this.#curve ??= fitDirtyCurve(this.#samples, this.#port.pageCount);
    return this.#curve;
  }

  get underway(): Underway {
    const { pages, sentBytes, acknowledgedBytes } = this.#port.link();
    const sentPages = pages - this.#begun.pages;
    return {
      pages: this.#pages,
      // Some were looked at, and are on their way to the connection.
      aheadPages: this.#pages - this.#skippedPages - sentPages,
      sentPages,
      sentBytes: sentBytes - this.#begun.sentBytes,
      queuedBytes: sentBytes - acknowledgedBytes,
      ms: this.#clock.nowMs() - this.#begunMs,
    };
  }

  /** The tracker was cleared just now. */
  begin(number: number, pages: number, throttlePercent: number): void {
    const nowMs = this.#clock.nowMs();
    this.#isFirst = number === 1;
    this.#share = (100 - throttlePercent) / 100;
    this.#pages = pages;
    this.#aheadPages = pages;
    this.#skippedPages = 0;
    this.#begunMs = nowMs;
    this.#begun = this.#port.link();
    this.#warm = undefined;
    this.#recent = { atMs: nowMs, acknowledgedBytes: this.#begun.acknowledgedBytes, bytesPerSecond: 0 };
    this.#nextLookMs = nowMs + FIRST_LOOK_MS;
    this.#looked = { atMs: nowMs, pages: 0 };
  }

  /** So many pages were looked at, and left out because they were modified again. */
  advance(pages: number, skippedPages: number): void {
    this.#aheadPages -= pages;
    this.#skippedPages += skippedPages;
    const nowMs = this.#clock.nowMs();
    if (nowMs - this.#begunMs >= WARM_UP_MS) this.#warm ??= this.taken;
    if (nowMs - this.#recent.atMs >= RATE_MS) this.#measureRate(nowMs);
    if (nowMs < this.#nextLookMs) return;
    const ms = nowMs - this.#begunMs;
    this.#nextLookMs = nowMs + ms;
    this.#add({ seconds: (ms / 1000) * this.#share, pages: this.#modifiedPages(nowMs, 0), weight: 1 });
  }

  /** @param writtenPages - all of them, as collected */
  end({ ms }: Pick<MeasuredRound, 'ms'>, writtenPages: number): void {
    this.#add({ seconds: (ms / 1000) * this.#share, pages: writtenPages, weight: 1 });
    this.#samples = this.#samples
      .map((sample) => ({ ...sample, weight: sample.weight * OLDER_WEIGHT }))
      .filter(({ weight }) => weight >= MIN_WEIGHT);
  }

  /** By the link since the round warmed up; since it began while that is all there is. What is still in buffers was not taken. */
  get taken(): { readonly bytes: number; readonly ms: number } {
    const from = this.#warm ?? { bytes: 0, ms: 0 };
    const bytes = this.#port.link().acknowledgedBytes - this.#begun.acknowledgedBytes;
    return { bytes: bytes - from.bytes, ms: this.#clock.nowMs() - this.#begunMs - from.ms };
  }

  /** What the link takes now, at least; 0 while that cannot be said. */
  get bytesPerSecond(): number {
    const { bytes, ms } = this.taken;
    const seenPages = this.#pages - this.#aheadPages;
    // A round that skips nearly all leaves the link idle.
    const isOfTheLink = this.#isFirst || bytes >= seenPages * PAGE_SIZE * SMALL_PART;
    if (ms < RATE_MS || !isOfTheLink) return 0;
    const rate = (bytes * 1000) / ms;
    return this.#recent.bytesPerSecond > 0 ? Math.min(rate, this.#recent.bytesPerSecond) : rate;
  }

  /**
   * What would be missing now, at most, and what is on its way before that can begin to be pushed. Post-copy may have to push
   * contents, so pages that the round has only named, or left out, do not make others look small.
   *
   * @param resentBytes - of a page that was sent in an earlier round
   */
  residue(resentBytes: number): Residue {
    const seenPages = this.#pages - this.#aheadPages;
    const modifiedPages = this.#modifiedPages(this.#clock.nowMs(), FRESH_MS);
    const { sentBytes, sentPages, aheadPages } = this.underway;
    const pages = aheadPages + modifiedPages;
    const link = this.#port.link();
    const queuedBytes = Math.max(0, link.sentBytes - link.acknowledgedBytes);
    const raw = PAGE_SIZE + FRAME_OVERHEAD_BYTES;
    const looked = sentPages - (link.leftOutPages - this.#begun.leftOutPages);
    const written = looked - (link.zeroPages - this.#begun.zeroPages);
    const shown = (of: number): number => Math.min(raw, (sentBytes / Math.max(1, of)) * UNSEEN_TIMES);
    if (!this.#isFirst) {
      // Contents change: what is written now may pack worse than all before.
      const now = written >= MIN_SAMPLE_PAGES ? shown(written) : 0;
      return { pages, bytes: queuedBytes + pages * Math.max(resentBytes, now) };
    }
    if (seenPages < this.#pages * KNOWN_PART || written < MIN_SAMPLE_PAGES)
      return { pages, bytes: queuedBytes + pages * raw };
    return { pages, bytes: queuedBytes + aheadPages * shown(looked) + modifiedPages * shown(written) };
  }

  /** Of the whole VM; not older than `freshMs`. */
  #modifiedPages(nowMs: number, freshMs: number): number {
    if (nowMs - this.#looked.atMs > freshMs) {
      const found = this.#windows.reduce((sum, run) => sum + countPages(this.#port.tracker.peek(run)), 0);
      this.#looked = { atMs: nowMs, pages: found * this.#scale };
    }
    return this.#looked.pages;
  }

  #measureRate(nowMs: number): void {
    const { acknowledgedBytes } = this.#port.link();
    const { atMs, acknowledgedBytes: before } = this.#recent;
    const bytesPerSecond = ((acknowledgedBytes - before) * 1000) / (nowMs - atMs);
    this.#recent = { atMs: nowMs, acknowledgedBytes, bytesPerSecond };
  }

  #add(sample: DirtySample): void {
    this.#samples.push(sample);
    this.#curve = null;
  }
}

function chooseWindows(pageCount: number): PageRun[] {
  if (pageCount <= MAX_LOOKED_PAGES) return [{ first: 0, count: pageCount }];
  const count = MAX_LOOKED_PAGES / WINDOW_PAGES;
  const stride = pageCount / count;
  return Array.from({ length: count }, (_, i) => ({ first: Math.floor(i * stride), count: WINDOW_PAGES }));
}
