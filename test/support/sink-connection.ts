/**
 * A connection that leads nowhere: takes what it is sent and counts it, until it is told to fail.
 *
 * Owns: nothing outside the process. Must hold: as a real one, it fails every send from the first failure on.
 */
import type { GodwitError } from '../../src/base/errors.ts';
import { type Connection, closedBy } from '../../src/transfer/connection.ts';

export class SinkConnection implements Connection {
  readonly peer = 'nobody';
  readonly bytesReceived = 0;
  readonly queuedBytes = 0;
  readonly unacknowledgedBytes = 0;
  readonly closed: Promise<GodwitError>;
  #bytesSent = 0;
  #sendsLeft: number;
  #reason: GodwitError | undefined;
  readonly #resolveClosed: (reason: GodwitError) => void;

  /** @param sends - so many succeed */
  constructor(sends: number = Number.POSITIVE_INFINITY) {
    const { promise, resolve } = Promise.withResolvers<GodwitError>();
    this.#sendsLeft = sends;
    this.closed = promise;
    this.#resolveClosed = resolve;
  }

  get bytesSent(): number {
    return this.#bytesSent;
  }

  get isClosed(): boolean {
    return this.#reason !== undefined;
  }

  async send(...parts: readonly Uint8Array[]): Promise<void> {
    if (this.#sendsLeft === 0) this.destroy();
    if (this.#reason) throw this.#reason;
    this.#sendsLeft--;
    for (const part of parts) this.#bytesSent += part.length;
  }

  receive(): void {
    // Nothing ever comes.
  }

  close(): void {
    this.destroy();
  }

  destroy(reason: GodwitError = closedBy(this.peer, 'closed here')): void {
    this.#reason ??= reason;
    this.#resolveClosed(this.#reason);
  }
}
