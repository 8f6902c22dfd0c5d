/**
 * What a VM, and a group of VMs one after the other, will take: bytes, time and downtime with quantiles (B5, G5).
 *
 * Owns: the forecast of one VM (migration/forecast.ts, the same that a running migration is predicted with) with what the
 * planner adds: the contents that the destination holds by then, the granted bandwidth, the phase of the VM's rhythm; and
 * the sums over a group. Pure.
 */
import { scaleCurve } from '../migration/dirty-curve.ts';
import { PRIOR_COSTS } from '../migration/dirty-estimate.ts';
import { forecast } from '../migration/forecast.ts';
import type { Expectation } from '../migration/known-links.ts';
import type { Interval, PredictedEnding } from '../migration/prediction.ts';
import type { FleetVm } from './fleet-state.ts';
import type { PagesToBring } from './held-contents.ts';

/** Eight of ten actual values are meant to lie between p10 and p90. */
export interface Quantiles {
  readonly p10: number;
  readonly p50: number;
  readonly p90: number;
}

export interface Prediction {
  readonly bytes: Quantiles;
  readonly totalMs: Quantiles;
  readonly downtimeMs: Quantiles;
}

export interface VmPrediction extends Prediction {
  readonly ending: PredictedEnding;
  readonly pages: PagesToBring;
  /** No later than this it is over if post-copy begins at once: what can be promised. */
  readonly boundMs: number;
  /** Of a new page more than of one that is only named: bytes, and time. */
  readonly newPageBytes: number;
  readonly newPageMs: number;
}

/** A fingerprint and its frame's share. */
const NAME_BYTES = 20;
/** What naming a page takes at both hosts together, on two CPUs that guests use as well (docs/performance.md): the link waits for that. */
const NAME_MS = 0.02;
/** How far the VM's writing may be from its history: see predictor.ts; a rhythm that is known leaves less open. */
const WRITING_DOUBTS = { history: 0.5, period: 0.35 } as const;
/** An interval leaves a twentieth out on each side, quantiles leave a tenth: of the normal distribution. */
const TENTH_OF_TWENTIETH = 1.2816 / 1.6449;
/** The correlation of two VMs' errors: of their times the link's rate is behind, of their bytes how well memory packs. */
const TIME_CORRELATION = 0.7;
const BYTES_CORRELATION = 0.5;

/** @param dirtyFactor - how much more than on average the VM modifies while it is moved */
export function predictVm(
  vm: FleetVm,
  pages: PagesToBring,
  way: { readonly expectation: Expectation; readonly bytesPerSecond: number; readonly dirtyFactor: number },
): VmPrediction {
  const { link, isLinkKnown, pair, preparingMs, doubts } = way.expectation;
  // What was measured on the way, or else what its ports have by their owner's word.
  const bytesPerSecond = isLinkKnown ? Math.min(link.bytesPerSecond, way.bytesPerSecond) : way.bytesPerSecond;
  const nameBytes = Math.min(NAME_BYTES, link.wholeBytes);
  // Held pages count as the part of a page that naming them takes: what is modified later is held by nobody.
  const nameTakesBytes = Math.min(Math.max(nameBytes, (NAME_MS * bytesPerSecond) / 1000), link.wholeBytes);
  const firstPages = pages.newPages + (pages.heldPages * nameTakesBytes) / link.wholeBytes;
  const { bytes, totalMs, downtimeMs, ending } = forecast({
    facts: {
      options: vm.options,
      rounds: [],
      remainingPages: firstPages,
      dataPages: vm.dataPages,
      linkBytesPerSecond: 0,
      costs: PRIOR_COSTS,
      throttlePercent: 0,
      canThrottle: vm.canThrottle,
      canPostCopy: vm.canPostCopy,
      elapsedMs: preparingMs,
      begunMs: preparingMs,
      curve: null,
    },
    underway: null,
    curve: scaleCurve(vm.curve, way.dirtyFactor),
    link: { ...link, bytesPerSecond },
    pair,
    doubts: { ...doubts, writing: WRITING_DOUBTS[vm.period ? 'period' : 'history'] },
    bytesSoFar: 0,
  });
  const notSentBytes = pages.heldPages * (nameTakesBytes - nameBytes);
  const newPageBytes = link.wholeBytes - nameBytes;
  // Any page may have been modified by then, and so be held by nobody.
  const pushMs = ((vm.dataPages * link.wholeBytes * 1000) / bytesPerSecond) * pair.pushFactor;
  return {
    bytes: shiftQuantiles(quantilesOf(bytes), -notSentBytes),
    totalMs: quantilesOf(totalMs),
    downtimeMs: quantilesOf(downtimeMs),
    ending,
    pages,
    boundMs: preparingMs + (pair.fixedDowntimeMs ?? 0) + pushMs + pair.endingMs,
    newPageBytes,
    newPageMs: ((link.wholeBytes - nameTakesBytes) * 1000) / bytesPerSecond,
  };
}

/** The same VM when other contents are at the destination: its first pass has more or fewer new pages. */
export function adaptPrediction(prediction: VmPrediction, pages: PagesToBring): VmPrediction {
  const more = pages.newPages - prediction.pages.newPages;
  if (more === 0) return prediction;
  return {
    ...prediction,
    pages,
    bytes: shiftQuantiles(prediction.bytes, more * prediction.newPageBytes),
    totalMs: shiftQuantiles(prediction.totalMs, more * prediction.newPageMs),
  };
}

/** The middle is so much further on, and the others are as far from it as before, in parts of it. */
function shiftQuantiles({ p10, p50, p90 }: Quantiles, by: number): Quantiles {
  const factor = Math.max(0.01, (p50 + by) / Math.max(p50, Number.EPSILON));
  return { p10: p10 * factor, p50: p50 * factor, p90: p90 * factor };
}

/** Of VMs that go one after the other; the downtime is that of the VM with the longest. */
export function predictGroup(members: readonly Prediction[]): Prediction {
  const worst = (quantile: keyof Quantiles): number => Math.max(...members.map((each) => each.downtimeMs[quantile]));
  return {
    bytes: sumQuantiles(
      members.map(({ bytes }) => bytes),
      BYTES_CORRELATION,
    ),
    totalMs: sumQuantiles(
      members.map(({ totalMs }) => totalMs),
      TIME_CORRELATION,
    ),
    downtimeMs: { p10: worst('p10'), p50: worst('p50'), p90: worst('p90') },
  };
}

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

/** Of values that are never negative: the logarithms are spread evenly. */
function quantilesOf({ low, expected, high }: Interval): Quantiles {
  const towards = (end: number): number =>
    end > 0 && expected > 0 ? expected * (end / expected) ** TENTH_OF_TWENTIETH : expected + (end - expected);
  return { p10: towards(low), p50: expected, p90: towards(high) };
}
