/**
 * Carries the bytes of one connection in one direction.
 *
 * Must hold: bytes arrive in order and complete, as late as the shaper says; the end of the stream follows the last
 * byte; never more than MAX_QUEUED_BYTES wait here (the sender feels the slow link); while held nothing moves at all.
 */
import type { Socket } from 'node:net';
import type { LinkShaper } from './link-shaper.ts';

/** About what a switch and two sockets buffer; more would hide the link's speed from the sender. */
const MAX_QUEUED_BYTES = 256 * 1024;

export class LinkPipe {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #carried: (piece: Buffer) => void;
  #queue: { readonly chunk: Buffer; readonly atMs: number }[] = [];
  #queuedBytes = 0;
  #timer: NodeJS.Timeout | undefined;
  #held = false;
  #blocked = false;
  #ended = false;

  /** @param carried - told of every piece that has been */
  constructor(from: Socket, to: Socket, shaper: LinkShaper, carried: (piece: Buffer) => void) {
    this.#from = from;
    this.#to = to;
    this.#carried = carried;
    from.on('data', (chunk: Buffer) => {
      this.#queuedBytes += chunk.length;
      for (let at = 0; at < chunk.length; ) {
        const piece = chunk.subarray(at, at + shaper.pieceBytes);
        this.#queue.push({ chunk: piece, atMs: shaper.arrivalMs(performance.now(), piece.length) });
        at += piece.length;
      }
      this.#move();
    });
    from.on('end', () => {
      this.#ended = true;
      this.#move();
    });
    to.on('drain', () => {
      this.#blocked = false;
      this.#move();
    });
  }

  set held(held: boolean) {
    this.#held = held;
    this.#move();
  }

  /** Forgets what waits. */
  close(): void {
    clearTimeout(this.#timer);
    this.#queue = [];
    this.#ended = false;
  }

  #move(): void {
    clearTimeout(this.#timer);
    if (!this.#held) this.#deliver();
    const full = this.#held || this.#queuedBytes >= MAX_QUEUED_BYTES;
    if (full) this.#from.pause();
    else this.#from.resume();
  }

  #deliver(): void {
    const nowMs = performance.now();
    while (!this.#blocked && this.#queue.length > 0 && this.#queue[0]!.atMs <= nowMs) {
      const { chunk } = this.#queue.shift()!;
      this.#queuedBytes -= chunk.length;
      this.#blocked = !this.#to.write(chunk);
      this.#carried(chunk);
    }
    const next = this.#queue[0];
    if (next !== undefined && !this.#blocked) this.#timer = setTimeout(() => this.#move(), next.atMs - nowMs);
    if (next === undefined && this.#ended) this.#to.end();
  }
}
