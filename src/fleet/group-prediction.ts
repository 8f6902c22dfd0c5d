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
import { largestQuantiles, type Quantiles, sumQuantiles, TENTH_SCORE } from './quantiles.ts';

export interface Prediction {
  readonly bytes: Quantiles;
  readonly totalMs: Quantiles;
  readonly downtimeMs: Quantiles;
}

export interface VmPrediction extends Prediction {
  readonly ending: PredictedEnding;
  readonly pages: PagesToBring;
  /** How much more than on average the VM modifies, which this is predicted with. */
  readonly dirtyFactor: number;
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
const TENTH_OF_TWENTIETH = TENTH_SCORE / 1.6449;
/** How far errors go along with what is common to all (quantiles.ts): to times the link's rate and the hosts, to bytes how well memory packs. */
const TIME_CORRELATION = 0.7;
const BYTES_CORRELATION = 0.5;

/**
 * @param way.bytesPerSecond - that it is granted; what its own options allow is kept as well
 * @param way.dirtyFactor - how much more than on average the VM modifies while it is moved
 */
export function predictVm(
  vm: FleetVm,
  pages: PagesToBring,
  way: { readonly expectation: Expectation; readonly bytesPerSecond: number; readonly dirtyFactor: number },
): VmPrediction {
  const { link, isLinkKnown, pair, preparingMs, doubts } = way.expectation;
  const limit = vm.options.bandwidthBytesPerSecond;
  const granted = limit > 0 ? Math.min(limit, way.bytesPerSecond) : way.bytesPerSecond;
  // What was measured on the way, or else what its ports have by their owner's word.
  const bytesPerSecond = isLinkKnown ? Math.min(link.bytesPerSecond, granted) : granted;
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
    dirtyFactor: way.dirtyFactor,
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
  return {
    bytes: sumQuantiles(
      members.map(({ bytes }) => bytes),
      BYTES_CORRELATION,
    ),
    totalMs: predictGroupTime(members),
    downtimeMs: largestQuantiles(
      members.map(({ downtimeMs }) => downtimeMs),
      TIME_CORRELATION,
    ),
  };
}

/** Only its time. */
export function predictGroupTime(members: readonly Prediction[]): Quantiles {
  return sumQuantiles(
    members.map(({ totalMs }) => totalMs),
    TIME_CORRELATION,
  );
}

/** Of values that are never negative: the logarithms are spread evenly. */
function quantilesOf({ low, expected, high }: Interval): Quantiles {
  const towards = (end: number): number =>
    end > 0 && expected > 0 ? expected * (end / expected) ** TENTH_OF_TWENTIETH : expected + (end - expected);
  return { p10: towards(low), p50: expected, p90: towards(high) };
}
