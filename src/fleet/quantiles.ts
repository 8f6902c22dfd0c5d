/**
 * Quantiles of what several VMs take: of the sum, and of the largest.
 *
 * Owns: how alike the errors of several predictions are. Pure. Must hold: in both one factor is behind all of them (the link, the hosts),
 * which a deviation goes along with to the part r, its correlation, and the rest of it is its own: two VMs' errors correlate by r².
 */

/** Eight of ten actual values are meant to lie between p10 and p90. */
export interface Quantiles {
  readonly p10: number;
  readonly p50: number;
  readonly p90: number;
}

/** Standard deviations from the middle to p90, of the normal distribution. */
export const TENTH_SCORE = 1.2816;
/** Where the common factor is looked at, in standard deviations: sums at even steps are exact for what is as smooth as this. */
const FACTOR_STEP = 0.5;
const LONGEST_SCORE = 4;
/** Nothing is further from the middle. */
const FARTHEST_SCORE = 6;
/** Halvings of an interval of logarithms. */
const HALVINGS = 30;
/** Of logarithms: less than any value that something takes. */
const LEAST = 1e-9;

const FACTORS = Array.from({ length: (2 * LONGEST_SCORE) / FACTOR_STEP + 1 }, (_, i) => {
  const score = i * FACTOR_STEP - LONGEST_SCORE;
  return { score, weight: (FACTOR_STEP * Math.exp(-(score ** 2) / 2)) / Math.sqrt(2 * Math.PI) };
});

/**
 * Deviations that are half alike: with correlation r, (sum of r d)² of them adds up with the sum of (1 - r²) d², so the
 * group's interval is narrower than the sum of intervals, and wider than that of independent VMs.
 */
export function sumQuantiles(all: readonly Quantiles[], correlation: number): Quantiles {
  const p50 = all.reduce((sum, each) => sum + each.p50, 0);
  const spread = (deviation: (each: Quantiles) => number): number => {
    const alike = all.reduce((sum, each) => sum + correlation * deviation(each), 0);
    const apart = all.reduce((sum, each) => sum + (1 - correlation ** 2) * deviation(each) ** 2, 0);
    return Math.sqrt(alike ** 2 + apart);
  };
  return {
    p10: Math.max(0, p50 - spread((each) => each.p50 - each.p10)),
    p50,
    p90: p50 + spread((e) => e.p90 - e.p50),
  };
}

/**
 * The largest of several is more often large than each of them: the largest p90 is exceeded by one of n more often than each by itself.
 * Values that are never negative, of which the logarithms are spread evenly to each side.
 *
 * @param correlation - 0 to less than 1
 */
export function largestQuantiles(all: readonly Quantiles[], correlation: number): Quantiles {
  const [first, ...others] = all;
  if (first === undefined) return { p10: 0, p50: 0, p90: 0 };
  if (others.length === 0) return first;
  const logs = all.map(({ p10, p50, p90 }): Quantiles => {
    const middle = log(p50);
    return { p10: Math.min(log(p10), middle), p50: middle, p90: Math.max(log(p90), middle) };
  });
  const own = Math.sqrt(1 - correlation ** 2);
  /** The probability that none is larger. */
  const noneAbove = (value: number): number => {
    const scores = logs.map((each) => scoreAt(each, value));
    return FACTORS.reduce((sum, { score, weight }) => {
      const chance = scores.reduce((product, each) => product * normal((each - correlation * score) / own), 1);
      return sum + weight * chance;
    }, 0);
  };
  const quantile = (probability: number, key: keyof Quantiles): number => {
    let low = Math.max(...logs.map((each) => each[key]));
    let high = Math.max(low, ...logs.map(({ p50, p90 }) => p50 + ((p90 - p50) * FARTHEST_SCORE) / TENTH_SCORE));
    for (let i = 0; i < HALVINGS; i++) {
      const middle = (low + high) / 2;
      if (noneAbove(middle) < probability) low = middle;
      else high = middle;
    }
    return Math.exp(high);
  };
  return { p10: quantile(0.1, 'p10'), p50: quantile(0.5, 'p50'), p90: quantile(0.9, 'p90') };
}

/** Standard deviations from the middle; infinite where there are none. */
function scoreAt({ p10, p50, p90 }: Quantiles, value: number): number {
  const side = value < p50 ? p50 - p10 : p90 - p50;
  if (side <= 0) return value < p50 ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  return ((value - p50) / side) * TENTH_SCORE;
}

/** The probability that a normal deviation is no larger (Abramowitz and Stegun 26.2.17; off by less than 1e-7). */
function normal(score: number): number {
  if (score < 0) return 1 - normal(-score);
  if (score === Number.POSITIVE_INFINITY) return 1;
  const t = 1 / (1 + 0.2316419 * score);
  const series = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  return 1 - (Math.exp(-(score ** 2) / 2) / Math.sqrt(2 * Math.PI)) * series;
}

function log(value: number): number {
  return Math.log(Math.max(LEAST, value));
}
