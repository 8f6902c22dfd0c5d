/**
 * How long a question to a host is asked again.
 *
 * Must hold: an answer that says nothing of what was asked for is not taken for one; none is asked for without end but of a host
 * that is silent, of which the evacuation's looks at the hosts decide.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { hasCode } from '../base/errors.ts';

export const AGAIN_AFTER_MS = 500;
/** Of errors one after the other. An evacuation that needs the host has ended by then (evacuation-waits.ts). */
const LONGEST_ERROR_MS = 300_000;

/** Again and again, while the host is silent, or answers with an error that says nothing of it. */
export async function patiently<T>(signal: AbortSignal, ask: () => Promise<T>): Promise<T> {
  let sinceMs: number | null = null;
  return await again(signal, ask, (error) => {
    if (isSilence(error)) {
      sinceMs = null;
      return true;
    }
    sinceMs ??= performance.now();
    const isOfHost = saysNothing(error) || isDenied(error);
    return isOfHost && performance.now() - sinceMs < LONGEST_ERROR_MS;
  });
}

export function whileSilent<T>(signal: AbortSignal, ask: () => Promise<T>): Promise<T> {
  return again(signal, ask, isSilence);
}

export function isSilence(error: unknown): boolean {
  return hasCode(error, 'GW_API_UNREACHABLE');
}

/** Nor does a proxy before the host, or one that has just an error of its own, say how a migration goes. */
export function saysNothing(error: unknown): boolean {
  return isSilence(error) || hasCode(error, 'GW_INTERNAL');
}

/** The token is none of the host's, or has not the right: both can be changed there while it runs. */
export function isDenied(error: unknown): boolean {
  return hasCode(error, 'GW_API_UNAUTHORIZED') || hasCode(error, 'GW_API_FORBIDDEN');
}

export function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError';
}

async function again<T>(
  signal: AbortSignal,
  ask: () => Promise<T>,
  isPassing: (error: unknown) => boolean,
): Promise<T> {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (signal.aborted || !isPassing(error)) throw error;
    }
    await delay(AGAIN_AFTER_MS, undefined, { signal });
  }
}
