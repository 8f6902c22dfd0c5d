/**
 * Waiting for something that tells nobody when it happens (guest memory, /proc).
 *
 * Must hold: it ends as soon as the thing has happened and throws after the deadline, naming what did not happen.
 */
import { setTimeout as delay } from 'node:timers/promises';

const TIMEOUT_MS = 20_000;
/** Short beside what is waited for here, long enough to leave the processor to it. */
const INTERVAL_MS = 3;

/** The first value that `probe` returns other than undefined and false. */
export async function waitUntil<T>(
  what: string,
  probe: () => T | Promise<T>,
  options: { readonly timeoutMs?: number; readonly intervalMs?: number } = {},
): Promise<Exclude<T, undefined | false>> {
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value as Exclude<T, undefined | false>;
    if (performance.now() > deadlineMs) throw new Error(`Not within ${timeoutMs} ms: ${what}`);
    await delay(options.intervalMs ?? INTERVAL_MS);
  }
}

/** The promise's value; throws when it takes longer. */
export async function within<T>(what: string, promise: Promise<T>, timeoutMs: number = TIMEOUT_MS): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`Not within ${timeoutMs} ms: ${what}`)), timeoutMs);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
