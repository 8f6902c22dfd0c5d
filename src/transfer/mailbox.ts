/**
 * Messages of one kind of conversation, taken one after the other by linear code.
 *
 * Owns: a queue between a frame handler and who waits for a message. Must hold: nothing is lost or reordered; a
 * closed mailbox first hands out what it still has, then rejects with the reason, for ever.
 */
import type { GodwitError } from '../base/errors.ts';

export class Mailbox<T> {
  readonly #queue: T[] = [];
  #waiting: { resolve: (message: T) => void; reject: (error: GodwitError) => void } | undefined;
  readonly #end = Promise.withResolvers<never>();
  #closed: GodwitError | undefined;

  constructor() {
    // Whoever takes hears of it.
    this.#end.promise.catch(() => undefined);
  }

  get isEmpty(): boolean {
    return this.#queue.length === 0;
  }

  /** Rejects with the reason when it is closed, whatever is in it still. */
  get closed(): Promise<never> {
    return this.#end.promise;
  }

  post(message: T): void {
    const waiting = this.#waiting;
    if (waiting) {
      this.#waiting = undefined;
      waiting.resolve(message);
    } else {
      this.#queue.push(message);
    }
  }

  close(reason: GodwitError): void {
    this.#closed ??= reason;
    this.#end.reject(reason);
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(reason);
  }

  /** The next message. One taker at a time. */
  take(): Promise<T> {
    const next = this.#queue.shift();
    if (next !== undefined) return Promise.resolve(next);
    if (this.#closed) return Promise.reject(this.#closed);
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
  }
}
