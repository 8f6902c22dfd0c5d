/**
 * One direction of a link: how fast and how late bytes go through it.
 *
 * Owns: the time at which the link has sent all that was given to it so far; all connections of a link share it, as
 * they share a cable. Time is given by the caller.
 */
/** Shorter pieces cost more time here than they make the flow smoother. */
const PIECE_MS = 5;
/** A TCP segment on Ethernet. */
const MIN_PIECE_BYTES = 1460;

export class LinkShaper {
  /** undefined: no limit. */
  bytesPerSecond: number | undefined;
  delayMs = 0;
  #busyUntilMs = 0;

  /** What a chunk is to be cut into, so that a slow link flows instead of jumping. */
  get pieceBytes(): number {
    if (this.bytesPerSecond === undefined) return Number.POSITIVE_INFINITY;
    return Math.max(MIN_PIECE_BYTES, Math.floor((this.bytesPerSecond * PIECE_MS) / 1000));
  }

  /** When a chunk that is given now has arrived at the other end. */
  arrivalMs(nowMs: number, bytes: number): number {
    const startMs = Math.max(nowMs, this.#busyUntilMs);
    const sendMs = this.bytesPerSecond === undefined ? 0 : (bytes / this.bytesPerSecond) * 1000;
    this.#busyUntilMs = startMs + sendMs;
    return this.#busyUntilMs + this.delayMs;
  }
}
