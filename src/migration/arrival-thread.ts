/**
 * One thread that puts pages in place at the destination, seen from the migration's thread.
 *
 * Owns: the thread and how it is woken. Must hold: an order wakes it wherever it waits; what it is asked for is answered,
 * also when it has died.
 */
import type { Worker } from 'node:worker_threads';
import { GodwitError } from '../base/errors.ts';
import { EventFd } from '../linux/poll.ts';
import type { ArrivalInput, ArrivalOrder, ArrivalReport, ArrivalStatistics } from './arrival-words.ts';
import { startThread } from './child-threads.ts';

/** What it tells without being asked. */
export type ArrivalNews = Exclude<ArrivalReport, { kind: 'statistics' }>;

export class ArrivalThread {
  /** It has a connection of the present generation. */
  isLinked = false;
  /** It has died, or ended as it was told. */
  isGone = false;
  readonly #control = EventFd.create();
  readonly #worker: Worker;
  readonly #exited = Promise.withResolvers<void>();
  #asked: PromiseWithResolvers<ArrivalStatistics> | undefined;

  constructor(input: Omit<ArrivalInput, 'controlFd'>, tell: (report: ArrivalNews) => void) {
    const complete: ArrivalInput = { ...input, controlFd: this.#control.fd };
    this.#worker = startThread({
      module: 'arrival-worker',
      input: complete,
      stop: () => this.order({ kind: 'stop' }),
    });
    this.#worker.on('message', (report: ArrivalReport) => {
      if (report.kind === 'statistics') this.#asked?.resolve(report.statistics);
      else tell(report);
    });
    this.#worker.on('error', (cause) => {
      tell({ kind: 'failed', error: new GodwitError('GW_INTERNAL', { reason: `pages: ${cause}` }).toBody() });
    });
    this.#worker.on('exit', () => {
      this.isGone = true;
      this.#asked?.resolve({ pages: 0, digest: { pages: 0, words: new BigUint64Array(2) } });
      this.#control[Symbol.dispose]();
      this.#exited.resolve();
    });
    this.#worker.unref();
  }

  order(order: ArrivalOrder): void {
    if (this.isGone) return;
    this.#worker.postMessage(order);
    this.#control.signal();
  }

  link(fd: number): void {
    this.isLinked = true;
    this.order({ kind: 'link', fd });
  }

  tell(): Promise<ArrivalStatistics> {
    this.#asked = Promise.withResolvers<ArrivalStatistics>();
    if (this.isGone) return Promise.resolve({ pages: 0, digest: { pages: 0, words: new BigUint64Array(2) } });
    this.order({ kind: 'tell' });
    return this.#asked.promise;
  }

  stop(): Promise<void> {
    this.order({ kind: 'stop' });
    return this.#exited.promise;
  }
}
