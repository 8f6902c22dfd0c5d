/**
 * One thread that puts pages in place at the destination, seen from the migration's thread.
 *
 * Owns: the thread and how it is woken. Must hold: an order wakes it wherever it waits; what it is asked for is answered,
 * also when it has died.
 */
import type { Worker } from 'node:worker_threads';
import { GodwitError } from '../base/errors.ts';
import { EventFd } from '../linux/poll.ts';
import { closeFd } from '../linux/socket.ts';
import type { ArrivalInput, ArrivalOrder, ArrivalReport, ArrivalStatistics } from './arrival-words.ts';
import { startThread } from './child-threads.ts';

/** What it tells without being asked. */
export type ArrivalNews = Exclude<ArrivalReport, { kind: 'statistics' | 'linked' | 'awaitedSettled' }>;

export class ArrivalThread {
  /** It has a connection of the present generation. */
  isLinked = false;
  /** It has died, or ended as it was told. */
  isGone = false;
  readonly #control = EventFd.create();
  readonly #worker: Worker;
  readonly #exited = Promise.withResolvers<void>();
  /** Handed over, and not the thread's yet. */
  #handedFd: number | undefined;
  #asked: PromiseWithResolvers<ArrivalStatistics | null> | undefined;
  #settling: PromiseWithResolvers<void> | undefined;

  constructor(input: Omit<ArrivalInput, 'controlFd'>, tell: (report: ArrivalNews) => void) {
    const complete: ArrivalInput = { ...input, controlFd: this.#control.fd };
    this.#worker = startThread({
      module: 'arrival-worker',
      input: complete,
      stop: () => this.order({ kind: 'stop' }),
    });
    this.#worker.on('message', (report: ArrivalReport) => {
      if (report.kind === 'statistics') this.#asked?.resolve(report.statistics);
      else if (report.kind === 'awaitedSettled') this.#settling?.resolve();
      else if (report.kind === 'linked') this.#handedFd = undefined;
      else tell(report);
    });
    this.#worker.on('error', (cause) => {
      tell({ kind: 'failed', error: new GodwitError('GW_INTERNAL', { reason: `pages: ${cause}` }).toBody() });
    });
    this.#worker.on('exit', () => {
      this.isGone = true;
      this.#asked?.resolve(null);
      this.#settling?.resolve();
      this.#closeHanded();
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
    this.#handedFd = fd;
    if (this.isGone) this.#closeHanded();
    else this.order({ kind: 'link', fd });
  }

  /** What it has installed of missing pages; null: nobody knows any more. */
  tell(): Promise<ArrivalStatistics | null> {
    this.#asked = Promise.withResolvers<ArrivalStatistics | null>();
    if (this.isGone) return Promise.resolve(null);
    this.order({ kind: 'tell' });
    return this.#asked.promise;
  }

  /** Resolves when it waits for no page that another VM was to bring. */
  settleAwaited(): Promise<void> {
    if (this.isGone) return Promise.resolve();
    this.#settling = Promise.withResolvers<void>();
    this.order({ kind: 'settleAwaited' });
    return this.#settling.promise;
  }

  #closeHanded(): void {
    if (this.#handedFd !== undefined) closeFd(this.#handedFd);
    this.#handedFd = undefined;
  }

  stop(): Promise<void> {
    this.order({ kind: 'stop' });
    return this.#exited.promise;
  }
}
