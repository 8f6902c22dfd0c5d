/**
 * Whether packing moves pages faster than sending them as they are would, as seen, not as calculated.
 *
 * Owns: what both have moved in the last moments. On a host whose CPUs are busy packing slows down whoever sends and
 * receives as well, which no calculation of rungs knows. Must hold: a pure function of what it was told; where packing
 * did not pay it is left alone for a while, the longer, the more often it was tried for nothing.
 */

/** Shorter times say how full a buffer was, and less of how busy the CPUs are (spare-cpus.ts). */
const WINDOW_MS = 120;
const WINDOW_BATCHES = 8;
/** What raw sending moved longer ago than this says nothing of now. */
const REMEMBERED_MS = 5000;
/** A link that was measured in its best moments, and not by how long raw sending took, is trusted so far. */
const BEST_MOMENTS = 0.8;
/**
 * On a faster link packing has to be quick, and raw sending, in which nothing is copied, comes first: it is to be beaten.
 * Where nothing limits the link, busy CPUs make it look like 300 to 400 MB/s.
 */
export const FAST_BYTES_PER_SECOND = 200e6;
/**
 * A link over which little may be on its way at a time, because page faults are not to wait behind it, never shows what it
 * could take: before anything is packed there raw sending shows it, on all but slow links.
 */
const FAST_PUSHED_BYTES_PER_SECOND = 60e6;
/**
 * On a slower one a moment in which packing moved less is as often one in which other programs had the CPU: it rests when such
 * moments in a row have fallen short by this part of a moment together.
 */
const PATIENCE = 0.5;
const FIRST_REST_MS = 400;
const LONGEST_REST_MS = 3200;
type Way = 'packed' | 'raw';

/** The link that pages are about to be sent over. */
export interface SendingLink {
  /** What it takes in its best moments; undefined while that is not known. */
  readonly bytesPerSecond: number | undefined;
  /** What it took while it had something to do: more, where packing does not keep it busy. */
  readonly busyBytesPerSecond: number | undefined;
  /** Little may be on its way at a time (V6). */
  readonly isPushed: boolean;
}

export class PackingWorth {
  #way: Way = 'raw';
  #lastMs: number | undefined;
  #lastBytes = 0;
  #ms = 0;
  #bytes = 0;
  #batches = 0;
  #raw: { readonly bytesPerSecond: number; readonly atMs: number } | undefined;
  #restsUntilMs = Number.NEGATIVE_INFINITY;
  #restMs = FIRST_REST_MS;
  #shortfall = 0;

  /** Pages are about to be sent; the time before was not spent on any. */
  begin(): void {
    this.#lastMs = undefined;
  }

  isAllowed(link: SendingLink, nowMs: number): boolean {
    if (nowMs < this.#restsUntilMs) return false;
    // What it carries then is limited by how little may be on its way, raw or packed.
    if (link.isPushed && (link.busyBytesPerSecond ?? 0) >= FAST_BYTES_PER_SECOND) return false;
    return !mayBeFast(link) || this.#freshRaw(nowMs) !== undefined;
  }

  /**
   * A batch begins, and the one before is on its way.
   * @param bytes - of its pages, whatever is sent of them
   */
  note(way: Way, bytes: number, link: SendingLink, nowMs: number): void {
    if (way !== this.#way) {
      this.#way = way;
      this.#restart();
    } else if (this.#lastMs !== undefined) {
      this.#ms += nowMs - this.#lastMs;
      this.#bytes += this.#lastBytes;
      this.#batches++;
      if (this.#ms >= WINDOW_MS && this.#batches >= WINDOW_BATCHES) this.#judge(link, nowMs);
    }
    this.#lastMs = nowMs;
    this.#lastBytes = bytes;
  }

  #judge(link: SendingLink, nowMs: number): void {
    const bytesPerSecond = (this.#bytes * 1000) / this.#ms;
    this.#restart();
    if (this.#way === 'raw') {
      this.#raw = { bytesPerSecond, atMs: nowMs };
      return;
    }
    const asRaw = this.#freshRaw(nowMs) ?? (link.bytesPerSecond ?? 0) * BEST_MOMENTS;
    if (bytesPerSecond >= asRaw) {
      this.#restMs = FIRST_REST_MS;
      this.#shortfall = 0;
      return;
    }
    this.#shortfall += 1 - bytesPerSecond / asRaw;
    if (!mayBeFast({ ...link, isPushed: false }) && this.#shortfall < PATIENCE) return;
    this.#shortfall = 0;
    this.#restsUntilMs = nowMs + this.#restMs;
    this.#restMs = Math.min(LONGEST_REST_MS, this.#restMs * 2);
  }

  /** What raw sending moved lately. */
  #freshRaw(nowMs: number): number | undefined {
    return this.#raw && this.#raw.atMs > nowMs - REMEMBERED_MS ? this.#raw.bytesPerSecond : undefined;
  }

  #restart(): void {
    this.#ms = 0;
    this.#bytes = 0;
    this.#batches = 0;
  }
}

function mayBeFast({ bytesPerSecond, busyBytesPerSecond, isPushed }: SendingLink): boolean {
  if (isPushed) return (bytesPerSecond ?? Number.POSITIVE_INFINITY) >= FAST_PUSHED_BYTES_PER_SECOND;
  return Math.max(bytesPerSecond ?? 0, busyBytesPerSecond ?? 0) >= FAST_BYTES_PER_SECOND;
}
