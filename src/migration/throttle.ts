/**
 * How much to slow the vCPUs: rules S3, S4 and S5.
 *
 * Owns: the formulas. All work on the *share* of their time that the vCPUs keep (1 = full speed, 0.01 = 99 % slowdown)
 * and take pages to be modified in proportion to it.
 * Must hold: no result is above `maxPercent`; without need nothing is slowed.
 */
import type { ThrottleOptions } from './request.ts';

/**
 * Never more than this factor at once. A working set that is rewritten faster than it is sent looks as if it were
 * modified exactly as fast as sent, whatever the true rate: a step far beyond the measured need would overshoot.
 */
const MAX_STEP = 10;
/** Slowdown that is let go of only when the ratio is this many times what S3 asks for, so that it does not swing. */
const RELAX_AT = 4;
/** Up to this slowdown post-copy is no better for the guest than waiting (auto mode). */
export const AUTO_MAX_PERCENT = 50;

export interface Rates {
  /** Pages sent a second (S2). */
  readonly transmission: number;
  /** Pages modified a second (S2). */
  readonly modification: number;
}

export interface ThrottleAdvice {
  readonly percent: number;
  readonly rule: 'S3' | 'S4' | 'relax' | null;
}

/** S2: transmission ÷ modification; nothing modified is infinitely good. */
export function computeRatio({ transmission, modification }: Rates): number {
  return modification > 0 ? transmission / modification : Number.POSITIVE_INFINITY;
}

/** What the rules say after a round that ran at `percent` and did not leave little enough to finish. */
export function adviseThrottle(percent: number, rates: Rates, options: ThrottleOptions): ThrottleAdvice {
  if (!options.enabled) return { percent: 0, rule: null };
  const limit = (wanted: number) => Math.min(options.maxPercent, Math.max(0, wanted));
  const ratio = computeRatio(rates);
  const bySpeed = limit(shortfallPercent(rates.transmission, options));
  if (ratio <= options.minRatio) {
    const byRatio = limit(toPercent(slowedShare(toShare(percent), ratio, options.minRatio)));
    return byRatio >= bySpeed ? { percent: byRatio, rule: 'S3' } : { percent: bySpeed, rule: 'S4' };
  }
  if (bySpeed > 0) return { percent: Math.max(limit(percent), bySpeed), rule: 'S4' };
  if (percent > 0 && ratio > options.minRatio * RELAX_AT) {
    const relaxed = toShare(percent) * Math.min(2, ratio / (options.minRatio * RELAX_AT));
    return { percent: limit(toPercent(Math.min(1, relaxed))), rule: 'relax' };
  }
  return { percent: limit(percent), rule: null };
}

/** S5: the slowdown to begin with, so that a VM as busy as its history's peak modifies pages at the threshold's rate. */
export function computeInitialThrottle(peakPagesPerSecond: number, options: ThrottleOptions): number {
  const threshold = options.historyPagesPerSecond;
  if (!options.enabled || threshold <= 0 || peakPagesPerSecond <= threshold) return 0;
  return Math.min(options.maxPercent, toPercent(threshold / peakPagesPerSecond));
}

/**
 * S3, in proportion to the modification rate: the share at which the ratio would be `minRatio`. Far away that
 * multiplies the share by a small number; close by it is a small correction.
 */
function slowedShare(share: number, ratio: number, minRatio: number): number {
  return share * Math.max(1 / MAX_STEP, Math.min(1, ratio / minRatio));
}

/** S4: in proportion to how far the transmission rate is below the minimum. */
function shortfallPercent(transmission: number, { minPagesPerSecond, maxPercent }: ThrottleOptions): number {
  if (minPagesPerSecond <= 0 || transmission >= minPagesPerSecond) return 0;
  return Math.round((maxPercent * (minPagesPerSecond - transmission)) / minPagesPerSecond);
}

function toShare(percent: number): number {
  return 1 - percent / 100;
}

/** Whole percents: the mechanism's quota knows no finer ones at its period. */
function toPercent(share: number): number {
  return Math.round((1 - share) * 100);
}
