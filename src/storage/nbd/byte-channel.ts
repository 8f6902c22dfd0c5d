/**
 * A client's connection, as bytes in both directions.
 *
 * Must hold: `received` is called for one piece after the other, never again after `closed`; each `sent` is called once,
 * also when the connection has gone: memory waits for it.
 */

export interface ChannelEvents {
  /** Where the bytes that have come belong, and what is done with them; called until all are taken. */
  writable(): Uint8Array;
  received(bytes: number): void;
  /** No more will come, and nothing more can be sent. */
  closed(reason: string | undefined): void;
}

export interface ByteChannel {
  /** Who is there, for people. */
  readonly peer: string;
  begin(events: ChannelEvents): void;
  /** Queues pieces in order; they go out together with others of this turn of the event loop. */
  send(pieces: readonly Uint8Array[], sent?: () => void): void;
  /** Nothing is read until `resume`. */
  pause(): void;
  resume(): void;
  /** Sends what is queued, then closes. */
  end(): void;
  destroy(): void;
}
