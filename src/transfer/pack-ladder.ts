/**
 * Which compression the next batch gets (M2).
 *
 * Owns: the ladder from raw to dense, and what is known of each rung: how much it leaves of what it is given, and how
 * fast on one CPU. A rung moves pages as fast as the slower of the two allows: the packing, with the CPUs that nobody else
 * needs, and the link with what is left of them.
 * The rung that moves them fastest is taken, so that the densest one that keeps the link busy is found, and on a fast
 * link or with busy CPUs none.
 * Must hold: a pure function of what it was told. What a link can take is only known while it has enough to do: now and
 * then, when it has not, a few batches go raw to see.
 */
import type { CodecName } from '../linux/compression.ts';
import type { PackCodec } from '../wire/packed-pages.ts';

export interface Rung {
  readonly codec: PackCodec;
  readonly level: number;
}

export interface Choice {
  readonly rung: Rung;
  /** The link is slow enough for a page to be looked at before it is sent. */
  readonly hasTime: boolean;
}

/** What there is to send with, and to pack with. */
export interface Conditions {
  /** Bytes a second that the link takes at least; undefined while that is not known. */
  readonly bytesPerSecond: number | undefined;
  /** It has nothing to do at the moment. */
  readonly isIdle: boolean;
  /** More waits for it than a fast one ever leaves waiting. */
  readonly isPilingUp: boolean;
  /** Bytes a second that it took while it had something to do (busy-rate.ts); undefined while that is not known. */
  readonly busyBytesPerSecond: number | undefined;
  /** CPUs that packing can have without taking them from anybody. */
  readonly cpus: number;
  readonly nowMs: number;
}

interface KnownRung extends Rung {
  /** Of what it is given it leaves so much, and it takes so many bytes a second; at first as with usual data on a usual CPU. */
  readonly usualRatio: number;
  readonly usualRate: number;
  ratio: number;
  /** For a second of CPU time, and for a second in which it may have waited for a CPU. */
  rate: number;
  wallRate: number;
  /** Bytes that the two are of, up to what is remembered. */
  weight: number;
  isTried: boolean;
}

export const RAW: Rung = { codec: 'none', level: 0 };
const LADDER: readonly (readonly [codec: CodecName, level: number, ratio: number, megabytesPerSecond: number])[] = [
  ['lz4', 1, 0.6, 900],
  ['zstd', 1, 0.5, 400],
  ['zstd', 3, 0.48, 220],
  ['zstd', 6, 0.465, 80],
  ['zstd', 9, 0.46, 40],
];
/** What a rung did longer ago than this many bytes is forgotten; and so much is what is usual worth. */
const REMEMBERED_BYTES = 16 * 2 ** 20;
const PRIOR_BYTES = 2 ** 20;
/** Once in so many batches a denser rung is tried, though it seemed no good: contents differ, and CPUs become free. */
const TRY_EVERY = 32;
/** A denser rung must move pages faster by this part: it costs CPU time. */
const WORTH = 1.02;
/** Batches that go raw to see what the link can take, at most so often. */
const FIRST_PROBE_BATCHES = 4;
const PROBE_BATCHES = 2;
const PROBE_EVERY_MS = 1000;
/** Comparing a page with what was sent takes two thousandths of a millisecond: no slower link has to wait for it. */
export const COMPARING_BYTES_PER_SECOND = 400e6;

/** On a host that has no CPU to spare so much is taken all the same: to move a VM away is what helps it. */
const MIN_CPUS = 0.5;
/** But not from who sends and receives, whom a faster link keeps busy. */
const BUSY_BYTES_PER_SECOND = 150e6;

export class PackLadder {
  readonly #rungs: readonly KnownRung[];
  readonly #threads: number;
  #probeBatches = FIRST_PROBE_BATCHES;
  #batches = 0;
  #nextTrial = TRY_EVERY;
  #probedAtMs = Number.NEGATIVE_INFINITY;

  /**
   * @param threads - that pack at a time
   * @param densestLevel - of zstd: a page that somebody waits for must not be packed for long
   */
  constructor(codecs: readonly CodecName[], threads: number, densestLevel: number) {
    this.#threads = threads;
    this.#rungs = LADDER.filter(([codec, level]) => codecs.includes(codec) && level <= densestLevel).map(
      ([codec, level, ratio, megabytes]) => {
        const rate = megabytes * 1e6;
        return {
          codec,
          level,
          usualRatio: ratio,
          usualRate: rate,
          ratio,
          rate,
          wallRate: rate,
          weight: PRIOR_BYTES,
          isTried: false,
        };
      },
    );
  }

  choose({ bytesPerSecond, isIdle, isPilingUp, cpus, nowMs }: Omit<Conditions, 'busyBytesPerSecond'>): Choice {
    const hasTime = bytesPerSecond === undefined ? isPilingUp : bytesPerSecond < COMPARING_BYTES_PER_SECOND;
    if (isIdle && this.#probeBatches === 0 && nowMs >= this.#probedAtMs + PROBE_EVERY_MS) {
      this.#probeBatches = PROBE_BATCHES;
      this.#probedAtMs = nowMs;
    }
    if (this.#probeBatches > 0) {
      this.#probeBatches--;
      return { rung: RAW, hasTime };
    }
    // Where pages pile up although nothing more is known, the link is slower than a CPU.
    if (bytesPerSecond === undefined) return { rung: isPilingUp ? this.#denserThan(RAW) : RAW, hasTime };
    const least = bytesPerSecond < BUSY_BYTES_PER_SECOND ? MIN_CPUS : 0;
    const best = this.#best(bytesPerSecond, Math.max(least, cpus));
    const isTrial = hasTime && ++this.#batches >= this.#nextTrial;
    return { rung: isTrial ? this.#try(this.#denserThan(best), bytesPerSecond) : best, hasTime };
  }

  /** What came of a batch, how much CPU time it took, and how long that took. */
  learn(rung: Rung, bytesBefore: number, bytesAfter: number, took: { cpuMs: number; wallMs: number }): void {
    const known = this.#rungs.find(({ codec, level }) => codec === rung.codec && level === rung.level);
    if (known === undefined || bytesBefore === 0) return;
    known.isTried = true;
    known.weight = Math.min(REMEMBERED_BYTES, known.weight + bytesBefore);
    const part = bytesBefore / known.weight;
    known.ratio += part * (bytesAfter / bytesBefore - known.ratio);
    // A codec gives up on random pages in no time, and is as slow as before on the others.
    if (bytesAfter >= bytesBefore) return;
    known.rate += part * (rateOf(bytesBefore, took.cpuMs) - known.rate);
    known.wallRate += part * (rateOf(bytesBefore, took.wallMs) - known.wallRate);
  }

  #best(bytesPerSecond: number, cpus: number): Rung {
    let best: Rung = RAW;
    let bestRate = bytesPerSecond;
    for (const rung of this.#rungs) {
      const rate = Math.min(bytesPerSecond / this.#ratioOf(rung), this.#packingRate(rung, cpus));
      if (rate <= bestRate * WORTH) continue;
      best = rung;
      bestRate = rate;
    }
    return best;
  }

  /** A rung for which the link would have to wait is tried the less often, the longer it would. */
  #try(rung: Rung, bytesPerSecond: number): Rung {
    const known = this.#rungs.find((other) => other === rung);
    const waits = known === undefined ? 0 : bytesPerSecond / this.#packingRate(known, MIN_CPUS);
    this.#nextTrial = this.#batches + TRY_EVERY * Math.max(1, Math.ceil(waits));
    return rung;
  }

  /** After raw zstd 1, which tells more than LZ4 of what the others would do. */
  #denserThan(rung: Rung): Rung {
    if (rung === RAW) return this.#rungs.find(({ codec }) => codec === 'zstd') ?? RAW;
    return this.#rungs[this.#rungs.indexOf(rung as KnownRung) + 1] ?? rung;
  }

  /** Where nothing was tried yet: as the nearest that was, other than usual in the same proportion. */
  #ratioOf(rung: KnownRung): number {
    const near = this.#nearest(rung);
    return Math.max(0.001, Math.min(1, (rung.usualRatio * near.ratio) / near.usualRatio));
  }

  /** As many threads as there are, as far as there are CPUs for them. */
  #packingRate(rung: KnownRung, cpus: number): number {
    const near = this.#nearest(rung);
    const slower = rung.usualRate / near.usualRate;
    return slower * Math.min(near.rate * cpus, near.wallRate * this.#threads);
  }

  #nearest(rung: KnownRung): KnownRung {
    if (rung.isTried) return rung;
    const at = this.#rungs.indexOf(rung);
    const tried = this.#rungs.filter(({ isTried }) => isTried);
    const distance = (other: KnownRung) => Math.abs(this.#rungs.indexOf(other) - at);
    return tried.reduce((nearest, other) => (distance(other) < distance(nearest) ? other : nearest), tried[0] ?? rung);
  }
}

function rateOf(bytes: number, ms: number): number {
  return (bytes * 1000) / Math.max(ms, 0.01);
}
