/**
 * Waiting for something only until a signal.
 *
 * Must hold: nothing of what was waited for is kept by a signal that lives on: `Promise.race` with one promise for all of its life would.
 */

/** null: it was aborted before. Afterwards nobody minds how `value` ends. */
export async function unlessAborted<T>(value: Promise<T>, signal: AbortSignal): Promise<T | null> {
  const aborted = Promise.withResolvers<null>();
  const abort = (): void => aborted.resolve(null);
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) abort();
  try {
    return await Promise.race([aborted.promise, value]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
