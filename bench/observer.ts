/**
 * Watches a migration from outside: the guest's progress on both sides about every millisecond, and CPU time.
 *
 * Owns: the worker that does it (observer-worker.ts). Must hold: it touches nothing: it reads RAM files by pread,
 * which fills no hole, and /proc.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Guest } from './guest.ts';
import type { Side } from './network.ts';
import type { Helper } from './system.ts';

/** Times in Unix milliseconds, in order, each with the counter's new value. */
export interface ProgressSeries {
  readonly times: readonly number[];
  readonly values: readonly number[];
}

export interface Observation {
  readonly progress: Record<Side, ProgressSeries>;
  /** CPU seconds of each side's watched processes without their vCPU threads, at each sample. */
  readonly cpu: Record<Side, ProgressSeries>;
}

export type ObserverRequest =
  | { readonly kind: 'watchGuest'; readonly side: Side; readonly ramFd: number; readonly offset: number }
  | {
      readonly kind: 'watchProcess';
      readonly side: Side;
      readonly pid: number;
      readonly vcpuTids: readonly number[];
    }
  | { readonly kind: 'finish' };

export class Observer implements AsyncDisposable {
  readonly #worker = new Worker(new URL('./observer-worker.ts', import.meta.url));
  readonly #offset: number;

  constructor(source: Guest, offset: number) {
    this.#offset = offset;
    this.#watch('source', source);
  }

  /** The guest has the same memory at the other side. */
  destinationFound(guest: Guest): void {
    this.#watch('destination', guest);
  }

  processFound({ side, pid }: Helper): void {
    this.#tell({ kind: 'watchProcess', side, pid, vcpuTids: [] });
  }

  async finish(): Promise<Observation> {
    const answer = once(this.#worker, 'message');
    this.#tell({ kind: 'finish' });
    const [observation] = (await answer) as [Observation];
    return observation;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }

  #watch(side: Side, guest: Guest): void {
    this.#tell({ kind: 'watchGuest', side, ramFd: guest.ramFd, offset: this.#offset });
    this.#tell({ kind: 'watchProcess', side, pid: guest.pid, vcpuTids: guest.vcpuTids });
  }

  #tell(request: ObserverRequest): void {
    this.#worker.postMessage(request);
  }
}
