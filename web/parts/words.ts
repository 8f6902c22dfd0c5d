/** Moments, ranges and the phases of a migration in words. Pure, but for the clock that is given. */
import { formatDuration } from '../../src/base/units.ts';

export function ago(atMs: number, nowMs: number): string {
  const ms = Math.max(0, nowMs - atMs);
  if (ms < 5_000) return 'just now';
  if (ms < 90_000) return `${Math.round(ms / 1000)} s ago`;
  if (ms < 90 * 60_000) return `${Math.round(ms / 60_000)} min ago`;
  if (ms < 36 * 3_600_000) return `${Math.round(ms / 3_600_000)} h ago`;
  return new Date(atMs).toLocaleDateString();
}

export function range(low: number, high: number, format: (value: number) => string): string {
  const [from, to] = [format(low), format(high)];
  return from === to ? from : `${from} – ${to}`;
}

export function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}

export function durationOrDash(ms: number | null | undefined): string {
  return ms === null || ms === undefined ? '–' : formatDuration(ms);
}

export function percent(part: number, whole: number): string {
  if (whole <= 0) return '0 %';
  const value = (100 * part) / whole;
  return `${value > 0 && value < 10 ? value.toFixed(1) : Math.round(value)} %`;
}

/** The way of a VM that leaves, in the order in which it goes. */
export const OUTGOING_STEPS: readonly { readonly phase: string; readonly text: string }[] = [
  { phase: 'preparing', text: 'Preparing' },
  { phase: 'copying', text: 'Copying memory' },
  { phase: 'stopping', text: 'Handing over' },
  { phase: 'committed', text: 'Starting there' },
  { phase: 'serving', text: 'Fetching the rest' },
  { phase: 'released', text: 'Done' },
];

export const INCOMING_STEPS: readonly { readonly phase: string; readonly text: string }[] = [
  { phase: 'preparing', text: 'Preparing' },
  { phase: 'waiting', text: 'Waiting' },
  { phase: 'receiving', text: 'Receiving memory' },
  { phase: 'loaded', text: 'Taking over' },
  { phase: 'resuming', text: 'Starting here' },
  { phase: 'pagingIn', text: 'Fetching the rest' },
  { phase: 'done', text: 'Done' },
];
