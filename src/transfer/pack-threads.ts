/**
 * The threads that pack, and the memory that batches are packed in.
 *
 * Owns: the threads. Must hold: a slot has one job at a time; once a thread has died or failed no job is done any more, and
 * each is told so.
 */
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { StagingBuffer, StagingPool } from '../memory/staging.ts';
import { MAX_PAGES_PER_FRAME } from '../wire/limits.ts';
import { createSlot, type HeldContents, type PackJob, type PackResult, type PackShared } from './pack-words.ts';
import type { SentLinesShared } from './sent-lines.ts';

type Answer = PackResult | { readonly id: number; readonly failed: true };

export class PackThreads implements Disposable {
  readonly shared: PackShared;
  /** Lends the staging memory of the slots, to all connections together. */
  readonly pool: StagingPool;
  readonly #workers: Worker[];
  readonly #waiting = new Map<number, PromiseWithResolvers<PackResult | undefined>>();
  #nextId = 0;
  #hasEnded = false;
  #knowsHeld = false;

  constructor(threads: number, slots: number, lines: SentLinesShared | null) {
    this.shared = { slots: Array.from({ length: slots }, createSlot), lines };
    this.pool = new StagingPool(
      this.shared.slots.map(({ staging }, slot) => new StagingBuffer(MAX_PAGES_PER_FRAME, slot, staging)),
    );
    const module = new URL(`./pack-worker${extname(import.meta.url)}`, import.meta.url);
    this.#workers = Array.from({ length: threads }, () => {
      const worker = new Worker(module, { workerData: this.shared, name: 'packing' });
      worker.on('message', (answer: Answer) => this.#take(answer));
      worker.on('error', () => this.#end());
      worker.on('exit', () => this.#end());
      worker.unref();
      return worker;
    });
  }

  get count(): number {
    return this.#workers.length;
  }

  /** Whether the threads know what the destination holds. */
  get knowsHeld(): boolean {
    return this.#knowsHeld;
  }

  /** For jobs from now on. */
  learn(held: HeldContents): void {
    this.#knowsHeld = true;
    for (const worker of this.#workers) worker.postMessage(held);
  }

  /** Bytes of the slot's body, and of what it was packed to. */
  body(slot: number): Uint8Array {
    return new Uint8Array(this.shared.slots[slot]!.body);
  }

  packed(slot: number): Uint8Array {
    return new Uint8Array(this.shared.slots[slot]!.packed);
  }

  /** undefined: the threads have ended, and the batch is as it was. */
  async run(job: Omit<PackJob, 'id'>): Promise<PackResult | undefined> {
    if (this.#hasEnded) return undefined;
    const id = this.#nextId++;
    const waiting = Promise.withResolvers<PackResult | undefined>();
    this.#waiting.set(id, waiting);
    this.#workers[id % this.#workers.length]!.postMessage({ ...job, id } satisfies PackJob);
    return waiting.promise;
  }

  [Symbol.dispose](): void {
    this.#end();
    // Not terminated: a thread that ends by itself gives back what its libraries have allocated.
    for (const worker of this.#workers) worker.postMessage('stop');
  }

  #take(answer: Answer): void {
    const waiting = this.#waiting.get(answer.id);
    this.#waiting.delete(answer.id);
    if ('failed' in answer) {
      waiting?.resolve(undefined);
      this.#end();
    } else {
      waiting?.resolve(answer);
    }
  }

  #end(): void {
    this.#hasEnded = true;
    for (const waiting of this.#waiting.values()) waiting.resolve(undefined);
    this.#waiting.clear();
  }
}
