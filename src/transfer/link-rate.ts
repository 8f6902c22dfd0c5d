/**
 * How fast a link takes what it is given.
 *
 * Owns: the rates at which the other host's kernel acknowledged. Must hold: only times count during which something was
 * on its way all along; a rate that was reached once is believed for a second or two, because a link that has little to
 * do shows less than it can, and then until there is a newer one.
 */
import { type Clock, SYSTEM_CLOCK } from '../base/clock.ts';
import type { Connection } from './connection.ts';

/**
 * A rate is of at least this time, or of more than what shapes a link ever lets pass at once: one of less would be the
 * rate of a burst, and a fast link has taken much before the time is over.
 */
const WINDOW_MS = 40;
const WINDOW_BYTES = 8 * 2 ** 20;
const BELIEVED_MS = 1000;

interface Sample {
  readonly atMs: number;
  readonly acknowledged: number;
}

export class LinkRate {
  readonly #connection: Pick<Connection, 'bytesSent' | 'unacknowledgedBytes'>;
  readonly #clock: Clock;
  /** Since the link was idle last, the oldest first. */
  #samples: Sample[] = [];
  #best = 0;
  #earlierBest = 0;
  #bestSinceMs: number;

  constructor(connection: Pick<Connection, 'bytesSent' | 'unacknowledgedBytes'>, clock: Clock = SYSTEM_CLOCK) {
    this.#connection = connection;
    this.#clock = clock;
    this.#bestSinceMs = clock.nowMs();
  }

  /** Looks at the link. Bytes a second that it can take at least; undefined while nothing is known. */
  measure(): number | undefined {
    const atMs = this.#clock.nowMs();
    const waiting = this.#connection.unacknowledgedBytes;
    const acknowledged = this.#connection.bytesSent - waiting;
    this.#samples.push({ atMs, acknowledged });
    while (this.#samples.length > 1 && this.#samples[1]!.atMs <= atMs - WINDOW_MS) this.#samples.shift();
    const first = this.#samples[0]!;
    if (atMs - this.#bestSinceMs > BELIEVED_MS) {
      if (this.#best > 0) this.#earlierBest = this.#best;
      this.#best = 0;
      this.#bestSinceMs = atMs;
    }
    const ms = atMs - first.atMs;
    const bytes = acknowledged - first.acknowledged;
    if (ms >= WINDOW_MS || (ms > 0 && bytes >= WINDOW_BYTES)) this.#best = Math.max(this.#best, (bytes * 1000) / ms);
    // What is measured next begins anew.
    if (waiting === 0) this.#samples = [];
    const best = Math.max(this.#best, this.#earlierBest);
    return best > 0 ? best : undefined;
  }
}
