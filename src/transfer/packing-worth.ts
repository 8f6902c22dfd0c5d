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
 * On a slower one a moment in which packing moved less is as often one in which other programs had the CPU: it rests when so
 * many in a row were such, or when one moved less than this part.
 */
const PATIENCE = 3;
const HOPELESS = 0.4;
const FIRST_REST_MS = 400;
const LONGEST_REST_MS = 3200;
/**
 * Packing that does not keep the link busy hides what the link could take. Then raw sending is tried, until it is known
 * what it moves or that the link is what limits it; and again after this time, the later, the more often it was for nothing.
 */
const FIRST_TRIAL_AFTER_MS = 400;
const LAST_TRIAL_AFTER_MS = 6400;
/** So long the link has to be busy for what it takes to be seen (link-rate.ts). */
const SEEN_AFTER_MS = 40;

type Way = 'packed' | 'raw';

/** The link that pages are about to be sent over. */
export interface SendingLink {
  /** What it takes in its best moments; undefined while that is not known. */
  readonly bytesPerSecond: number | undefined;
  /** More waits for it than a fast one ever leaves waiting, or a limit is what it waits for. */
  readonly isBusy: boolean;
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
  #wasBusy = false;
  #raw: { readonly bytesPerSecond: number; readonly atMs: number } | undefined;
  #restsUntilMs = Number.NEGATIVE_INFINITY;
  #restMs = FIRST_REST_MS;
  #slowMoments = 0;
  /** What packing has moved since raw sending was tried last. */
  readonly #packed = { bytes: 0, ms: 0 };
  #isTrial = false;
  #trialSinceMs = 0;
  #nextTrialMs = Number.NEGATIVE_INFINITY;
  #trialAfterMs = FIRST_TRIAL_AFTER_MS;

  /** Pages are about to be sent; the time before was not spent on any. */
  begin(): void {
    this.#lastMs = undefined;
  }

  isAllowed(link: SendingLink, nowMs: number): boolean {
    if (nowMs < this.#restsUntilMs) return false;
    if (mayBeFast(link) && this.#freshRaw(nowMs) === undefined) return false;
    if (this.#isTrial && link.isBusy && nowMs >= this.#trialSinceMs + SEEN_AFTER_MS) this.#endTrial(nowMs);
    return !this.#isTrial;
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
    this.#wasBusy ||= link.isBusy;
    this.#lastMs = nowMs;
    this.#lastBytes = bytes;
  }

  #judge(link: SendingLink, nowMs: number): void {
    const [bytes, ms, wasBusy] = [this.#bytes, this.#ms, this.#wasBusy];
    this.#restart();
    if (this.#way === 'raw') this.#judgeRaw((bytes * 1000) / ms, nowMs);
    else this.#judgePacked(bytes, ms, wasBusy, link, nowMs);
  }

  #judgeRaw(bytesPerSecond: number, nowMs: number): void {
    this.#raw = { bytesPerSecond, atMs: nowMs };
    if (!this.#isTrial) return;
    const packed = (this.#packed.bytes * 1000) / this.#packed.ms;
    this.#endTrial(nowMs);
    if (bytesPerSecond > packed) this.#rest(nowMs);
  }

  #judgePacked(bytes: number, ms: number, wasBusy: boolean, link: SendingLink, nowMs: number): void {
    this.#packed.bytes += bytes;
    this.#packed.ms += ms;
    const bytesPerSecond = (bytes * 1000) / ms;
    const asRaw = this.#freshRaw(nowMs) ?? (link.bytesPerSecond ?? 0) * BEST_MOMENTS;
    if (bytesPerSecond >= asRaw) {
      this.#restMs = FIRST_REST_MS;
      this.#slowMoments = 0;
    } else {
      const isClear = mayBeFast({ ...link, isPushed: false }) || bytesPerSecond < asRaw * HOPELESS;
      if (isClear || ++this.#slowMoments >= PATIENCE) {
        this.#rest(nowMs);
        return;
      }
    }
    if (wasBusy || nowMs < this.#nextTrialMs) return;
    this.#isTrial = true;
    this.#trialSinceMs = nowMs;
  }

  #rest(nowMs: number): void {
    this.#slowMoments = 0;
    this.#restsUntilMs = nowMs + this.#restMs;
    this.#restMs = Math.min(LONGEST_REST_MS, this.#restMs * 2);
  }

  #endTrial(nowMs: number): void {
    this.#isTrial = false;
    this.#nextTrialMs = nowMs + this.#trialAfterMs;
    this.#trialAfterMs = Math.min(LAST_TRIAL_AFTER_MS, this.#trialAfterMs * 2);
    this.#packed.bytes = 0;
    this.#packed.ms = 0;
  }

  /** What raw sending moved lately. */
  #freshRaw(nowMs: number): number | undefined {
    return this.#raw && this.#raw.atMs > nowMs - REMEMBERED_MS ? this.#raw.bytesPerSecond : undefined;
  }

  #restart(): void {
    this.#ms = 0;
    this.#bytes = 0;
    this.#batches = 0;
    this.#wasBusy = false;
  }
}

function mayBeFast({ bytesPerSecond, isPushed }: SendingLink): boolean {
  if (isPushed) return (bytesPerSecond ?? Number.POSITIVE_INFINITY) >= FAST_PUSHED_BYTES_PER_SECOND;
  return (bytesPerSecond ?? 0) >= FAST_BYTES_PER_SECOND;
}
