/**
 * The dirty curve of a VM: how many pages it has modified t seconds after the last look.
 *
 * Owns: the model and its fit. Pages differ in how often they are written, so the curve is a mixture,
 * D(t) = sum of N_k (1 - exp(-lambda_k t)), with a fixed set of rates lambda_k and N_k pages of each: it begins as a line
 * and ends at the working set. Pure. Must hold: no N_k is negative, so the curve never falls; it never passes `maxPages`.
 * Time is that of the vCPUs: a VM that is slowed to half needs twice as long for the same pages.
 */

/** Pages that were found modified so long after tracking had begun anew. */
export interface DirtySample {
  /** Of the vCPUs at full speed. */
  readonly seconds: number;
  readonly pages: number;
  /** 1 for what was measured in the latest round, less for what is older. */
  readonly weight: number;
}

export interface DirtyCurve {
  /** N_k, in the order of `WRITE_RATES`. */
  readonly pagesByRate: readonly number[];
  /** Of the VM: it cannot modify more. */
  readonly maxPages: number;
}

/** Writes a second, evenly spaced on a logarithmic scale from 0.01 to 1000: a factor of 2.8 between two is finer than samples are. */
export const WRITE_RATES: readonly number[] = Array.from({ length: 12 }, (_, k) => 10 ** (-2 + (5 * k) / 11));

/** A sample is known no better than this part of itself, nor than so many pages. */
const RELATIVE_NOISE = 0.05;
const MIN_NOISE_PAGES = 8;
/** Where samples leave open which rates there are, some of several is preferred to much of one. */
const RIDGE = 1e-4;
/** Sweeps over all rates: neighbouring ones look alike, so it takes many. A tenth of them is enough as a rule. */
const MAX_SWEEPS = 400;
/** A sweep that changes less than this part of all pages is the last. */
const SETTLED_PART = 1e-4;

/** A VM that writes nothing. */
export function idleCurve(maxPages: number): DirtyCurve {
  return { pagesByRate: WRITE_RATES.map(() => 0), maxPages };
}

/** Weighted least squares with no N_k below zero, by coordinate descent. */
export function fitDirtyCurve(samples: readonly DirtySample[], maxPages: number): DirtyCurve {
  const rows = samples
    .filter(({ seconds, weight }) => seconds > 0 && weight > 0)
    .map(({ seconds, pages, weight }) => {
      const scale = Math.sqrt(weight) / Math.max(MIN_NOISE_PAGES, pages * RELATIVE_NOISE);
      return { shares: WRITE_RATES.map((rate) => scale * writtenShare(rate, seconds)), goal: scale * pages };
    });
  const pagesByRate = WRITE_RATES.map(() => 0);
  const residuals = rows.map(({ goal }) => goal);
  const squares = WRITE_RATES.map((_, k) => rows.reduce((sum, { shares }) => sum + shares[k]! ** 2, 0));
  let changed = Number.POSITIVE_INFINITY;
  for (let sweep = 0; sweep < MAX_SWEEPS && rows.length > 0 && changed > SETTLED_PART * maxPages; sweep++) {
    changed = 0;
    for (let k = 0; k < pagesByRate.length; k++) {
      const before = pagesByRate[k]!;
      if (squares[k] === 0) continue;
      const ridge = RIDGE * squares[k]!;
      const slope = rows.reduce((sum, { shares }, i) => sum + shares[k]! * residuals[i]!, 0) - ridge * before;
      const after = Math.max(0, before + slope / (squares[k]! + ridge));
      if (after === before) continue;
      rows.forEach(({ shares }, i) => {
        residuals[i]! -= shares[k]! * (after - before);
      });
      pagesByRate[k] = after;
      changed += Math.abs(after - before);
    }
  }
  return { pagesByRate, maxPages };
}

/** D(t). */
export function dirtyAfter({ pagesByRate, maxPages }: DirtyCurve, seconds: number): number {
  return Math.min(
    maxPages,
    sumOver(pagesByRate, (rate) => writtenShare(rate, seconds)),
  );
}

/** The same VM at another speed of writing: all counts by a factor, for what is not known well. */
export function scaleCurve({ pagesByRate, maxPages }: DirtyCurve, factor: number): DirtyCurve {
  return { pagesByRate: pagesByRate.map((pages) => pages * factor), maxPages };
}

/** The pages that were modified within a time, by their rates: what a round begins with that follows one so long. */
export function modifiedWithin({ pagesByRate }: DirtyCurve, seconds: number): readonly number[] {
  return pagesByRate.map((pages, k) => pages * writtenShare(WRITE_RATES[k]!, seconds));
}

/**
 * Of pages that are looked at one after the other over a time, how many have been modified again before their turn.
 *
 * @param pagesByRate - in no order that has to do with their rates
 */
export function modifiedBeforeTurn(pagesByRate: readonly number[], seconds: number): number {
  if (seconds <= 0) return 0;
  return sumOver(pagesByRate, (rate) => 1 - writtenShare(rate, seconds) / (rate * seconds));
}

/** The part of the pages written at this rate that has been written after a time. */
function writtenShare(rate: number, seconds: number): number {
  return -Math.expm1(-rate * seconds);
}

function sumOver(pagesByRate: readonly number[], share: (rate: number) => number): number {
  return pagesByRate.reduce((sum, pages, k) => sum + (pages > 0 ? pages * share(WRITE_RATES[k]!) : 0), 0);
}
