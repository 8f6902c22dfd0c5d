/**
 * What a link takes, seen while less is sent over it than it could take.
 *
 * The kernel counts for how long each connection had something on its way: bytes by that time are what the link took,
 * however long the pauses between were. Packing that is slower than the link hides the link from who only looks at bytes
 * a second (link-rate.ts).
 * Owns: the counters of a few moments ago. Must hold: never more than the link takes for long: connections that are busy at
 * the same time share it, so the fastest alone is believed; a shaper's bucket lets what comes after a pause pass at once,
 * so a little that was sent says nothing.
 */

import { type Clock, SYSTEM_CLOCK } from '../base/clock.ts';
import type { TcpBusy } from '../linux/tcp-info.ts';

const WINDOW_MS = 100;
/** Of one connection, in a window. */
const WINDOW_BYTES = 4 * 2 ** 20;

export interface BusyConnections {
  readonly busy: readonly TcpBusy[];
}

export class BusyRate {
  readonly #connections: BusyConnections;
  readonly #clock: Clock;
  #from: readonly TcpBusy[] = [];
  #lookedMs = Number.NEGATIVE_INFINITY;
  #bytesPerSecond: number | undefined;

  constructor(connections: BusyConnections, clock: Clock = SYSTEM_CLOCK) {
    this.#connections = connections;
    this.#clock = clock;
  }

  /** Bytes a second; undefined while nothing is known. */
  measure(): number | undefined {
    const nowMs = this.#clock.nowMs();
    if (nowMs < this.#lookedMs + WINDOW_MS) return this.#bytesPerSecond;
    this.#lookedMs = nowMs;
    const now = this.#connections.busy;
    const rates = now.flatMap((to, index) => rateBetween(this.#from[index], to) ?? []);
    // A window that is too short for a verdict goes on.
    if (rates.length === 0 && now.length === this.#from.length && isOneSeries(this.#from, now))
      return this.#bytesPerSecond;
    if (rates.length > 0) this.#bytesPerSecond = Math.max(...rates);
    this.#from = now;
    return this.#bytesPerSecond;
  }
}

function rateBetween(from: TcpBusy | undefined, to: TcpBusy): number | undefined {
  if (from === undefined) return undefined;
  const bytes = to.acknowledgedBytes - from.acknowledgedBytes;
  const ms = to.busyMs - from.busyMs;
  return bytes >= WINDOW_BYTES && ms > 0 ? (bytes * 1000) / ms : undefined;
}

/** Not counters of new connections. */
function isOneSeries(from: readonly TcpBusy[], to: readonly TcpBusy[]): boolean {
  return from.every(({ acknowledgedBytes }, index) => to[index]!.acknowledgedBytes >= acknowledgedBytes);
}
