/**
 * What must be done because there is no way back: it is tried until it succeeds.
 *
 * Must hold: the reason why it does not is told, once for each; who insists holds up whatever comes after.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { asGodwitError, type GodwitError } from '../base/errors.ts';

const PAUSE_MS = 1000;

export interface InsistOptions {
  /** What is being done, for people. */
  readonly what: string;
  note(text: string): void;
  /** No further try could succeed: the error is thrown. */
  isHopeless?(error: GodwitError): boolean;
  readonly pauseMs?: number;
}

export async function insist<T>(action: () => T | Promise<T>, options: InsistOptions): Promise<T> {
  const { what, note, isHopeless, pauseMs = PAUSE_MS } = options;
  for (let told = ''; ; ) {
    try {
      return await action();
    } catch (thrown) {
      const error = asGodwitError(thrown);
      if (isHopeless?.(error)) throw error;
      const text = `${what} failed and is tried again: ${error.message}`;
      if (text !== told) note(text);
      told = text;
    }
    await delay(pauseMs);
  }
}
