/**
 * A region's thread, seen from the main thread.
 *
 * Owns: the thread, and the way of orders to it. Must hold: what waits for an answer gets one, whatever becomes of the
 * thread; a descriptor that it can no longer take is closed; a thread that ends without having said why is told of.
 */
import type { Worker } from 'node:worker_threads';
import { type ErrorBody, GodwitError } from '../base/errors.ts';
import { EventFd } from '../linux/poll.ts';
import { closeFd } from '../linux/socket.ts';
import { startThread } from '../migration/child-threads.ts';
import type { LinkOrder, RegionThreadInput, RegionWord } from './region-orders.ts';
import type { RegionReport } from './region-report.ts';

export interface RegionThreadPort {
  onWord(word: Exclude<RegionWord, { kind: 'answered' }>): void;
  /** It has ended by itself, without `completed`, `cancelled` or `failed`. */
  onDied(error: GodwitError): void;
}

/** An order that is answered, without its number. */
type Question<Order> = Order extends { readonly sequence: number } ? Omit<Order, 'sequence'> : never;

export class RegionThread<Order extends { readonly kind: string }> {
  /** Resolves, never rejects, when the thread has ended. */
  readonly exited: Promise<void>;
  readonly #worker: Worker;
  readonly #control = EventFd.create();
  readonly #stop = new Int32Array(new SharedArrayBuffer(4));
  readonly #answers = new Map<number, PromiseWithResolvers<RegionReport | null>>();
  #sequence = 0;
  #hasToldAll = false;
  #isGone = false;

  /** @param module - path from src/migration */
  constructor(module: string, input: object, port: RegionThreadPort) {
    const complete: Pick<RegionThreadInput, 'controlFd' | 'stop'> = { controlFd: this.#control.fd, stop: this.#stop };
    this.#worker = startThread({ module, input: { ...input, ...complete }, stop: () => this.stop() });
    let cause: unknown;
    this.#worker.on('message', (word: RegionWord) => this.#hear(word, port));
    this.#worker.on('error', (error) => {
      cause = error;
    });
    const exited = Promise.withResolvers<void>();
    this.exited = exited.promise;
    this.#worker.on('exit', () => {
      this.#isGone = true;
      this.#control[Symbol.dispose]();
      const error = new GodwitError('GW_INTERNAL', { reason: 'the thread of a shared region has ended' }, { cause });
      for (const { reject } of this.#answers.values()) reject(error);
      this.#answers.clear();
      if (!this.#hasToldAll) port.onDied(error);
      exited.resolve();
    });
  }

  order(order: Order | LinkOrder): void {
    if (!this.#isGone) {
      this.#worker.postMessage(order);
      this.#control.signal();
    } else if (isLink(order)) {
      closeFd(order.fd);
    }
  }

  /** @throws what the thread answers, or that it has ended */
  ask(question: Question<Order>): Promise<RegionReport | null> {
    const sequence = ++this.#sequence;
    const answer = Promise.withResolvers<RegionReport | null>();
    if (this.#isGone)
      answer.reject(new GodwitError('GW_INTERNAL', { reason: 'the thread of a shared region has ended' }));
    else this.#answers.set(sequence, answer);
    this.order({ ...question, sequence } as unknown as Order);
    return answer.promise;
  }

  /** It ends as soon as it looks, and leaves what it does as it is; idempotent. */
  stop(): void {
    this.#hasToldAll = true;
    if (this.#isGone) return;
    Atomics.store(this.#stop, 0, 1);
    Atomics.notify(this.#stop, 0);
    this.#control.signal();
  }

  #hear(word: RegionWord, port: RegionThreadPort): void {
    if (word.kind === 'answered') {
      this.#answer(word.sequence, word.error, word.report);
      return;
    }
    if (word.kind === 'completed' || word.kind === 'cancelled' || word.kind === 'failed') this.#hasToldAll = true;
    port.onWord(word);
  }

  #answer(sequence: number, error: ErrorBody | null, report: RegionReport | null): void {
    const waiting = this.#answers.get(sequence);
    this.#answers.delete(sequence);
    if (error) waiting?.reject(GodwitError.fromBody(error));
    else waiting?.resolve(report);
  }
}

function isLink(order: { readonly kind: string }): order is LinkOrder {
  return order.kind === 'link';
}
