/**
 * What NATS answers, and what it means when it does not.
 *
 * Must hold: whatever is asked is answered or fails within bounds; a compare-and-set that came too late is told from a server that is away.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { JetStreamApiCodes, JetStreamApiError } from '@nats-io/jetstream';
import { GodwitError, hasCode } from '../base/errors.ts';

/** JetStream is there some time after its server. */
const JETSTREAM_MS = 15_000;
export const AGAIN_MS = 250;
/** Of all requests of one question. */
const LONGEST_MS = 2 * JETSTREAM_MS;

/** Whatever goes wrong but a conflict is a store that does not answer, and so is one that takes too long. */
export async function guard<T>(asked: Promise<T>): Promise<T> {
  const over = new AbortController();
  const late = delay(LONGEST_MS, undefined, { signal: over.signal }).then(
    () => Promise.reject(new Error(`no answer within ${LONGEST_MS / 1000} s`)),
    () => new Promise<never>(() => undefined),
  );
  try {
    return await Promise.race([asked, late]);
  } catch (cause) {
    if (isConflict(cause)) throw cause;
    const { name, message } = cause as Error;
    throw new GodwitError('GW_STORE_UNAVAILABLE', { store: 'NATS', reason: message || name }, { cause });
  } finally {
    over.abort();
  }
}

export function isConflict(error: unknown): boolean {
  if (!(error instanceof JetStreamApiError)) return false;
  const { StreamWrongLastSequence, StreamWrongLastSequenceUnknown } = JetStreamApiCodes;
  return error.code === StreamWrongLastSequence || error.code === StreamWrongLastSequenceUnknown;
}

/** Again and again, while JetStream is not there yet. */
export async function patiently<T>(action: () => Promise<T>): Promise<T> {
  const untilMs = Date.now() + JETSTREAM_MS;
  for (;;) {
    try {
      return await guard(action());
    } catch (error) {
      if (Date.now() > untilMs || !hasCode(error, 'GW_STORE_UNAVAILABLE')) throw error;
      await delay(AGAIN_MS);
    }
  }
}
