/**
 * When to start a VM that modifies memory in a rhythm, and how much it modifies from then on (B8).
 *
 * Owns: what follows from a period at a moment. Pure. Must hold: waiting never takes longer than one period.
 */
import type { Period } from './period.ts';

/**
 * Where in the quiet quarter a VM is started, as parts of it: at the aim, or at once between the two others. At an edge
 * the phase's own error, some hundredths of a period, would lead out of it.
 */
const AIM_PART = 0.3;
const EARLIEST_PART = 0.15;
const LATEST_PART = 0.7;
/** A migration that lasts for more than this part of the period meets the busy phase whenever it starts. */
const MAX_LASTING_PART = 0.75;

/** Milliseconds into the cycle. */
function phaseMs({ periodMs, anchorMs }: Period, atMs: number): number {
  return modulo(atMs - anchorMs, periodMs);
}

/** In its quiet quarter. */
export function isQuiet(period: Period, atMs: number): boolean {
  return modulo(phaseMs(period, atMs) - period.quietFromMs, period.periodMs) < period.quietMs;
}

/** Milliseconds until its next quiet quarter begins. */
export function untilQuietMs(period: Period, atMs: number): number {
  return modulo(period.quietFromMs - phaseMs(period, atMs), period.periodMs);
}

/**
 * Milliseconds until the VM had better start; 0: now.
 *
 * @param lastingMs - that its migration is predicted to take
 */
export function quietWaitMs(period: Period, atMs: number, lastingMs: number): number {
  if (lastingMs > period.periodMs * MAX_LASTING_PART) return 0;
  const passedMs = modulo(phaseMs(period, atMs) - period.quietFromMs, period.periodMs);
  const { quietMs, periodMs } = period;
  if (passedMs >= quietMs * EARLIEST_PART && passedMs <= quietMs * LATEST_PART) return 0;
  return modulo(quietMs * AIM_PART - passedMs, periodMs);
}

/** Milliseconds until `quietWaitMs` would be 0 for the first time: who looks at that moment need not wait for the aim. */
export function quietOpensMs(period: Period, atMs: number, lastingMs: number): number {
  return Math.max(0, quietWaitMs(period, atMs, lastingMs) - period.quietMs * (AIM_PART - EARLIEST_PART));
}

/** How much more than on average is modified from a moment on, over a time; 1 for a VM without a rhythm. */
export function dirtyFactor(period: Period | null, fromMs: number, lastingMs: number): number {
  if (!period) return 1;
  const { profile, periodMs } = period;
  const partMs = periodMs / profile.length;
  const steps = Math.max(1, Math.min(profile.length, Math.round(lastingMs / partMs)));
  let sum = 0;
  for (let step = 0; step < steps; step++) {
    const at = phaseMs(period, fromMs + ((step + 0.5) * Math.min(lastingMs, periodMs)) / steps);
    sum += profile[Math.min(profile.length - 1, Math.floor(at / partMs))]!;
  }
  return sum / steps;
}

function modulo(value: number, by: number): number {
  return ((value % by) + by) % by;
}
