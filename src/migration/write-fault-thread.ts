/**
 * The thread that answers write faults, seen from the group tracker.
 *
 * Owns: the thread, what is shared with it, and the watch over it. Must hold: asking it which pages were written ends, with
 * an answer or without; a thread that says nothing any more is told of, so that nobody waits for it; what it reads from is
 * closed only when it has ended.
 */
import type { Worker } from 'node:worker_threads';
import { GodwitError } from '../base/errors.ts';
import type { PageRun } from '../base/page.ts';
import { PageBitmap } from '../base/page-bitmap.ts';
import { EventFd } from '../linux/poll.ts';
import { LEASE_MS, RENEWAL_MS } from '../linux/throttle-lease.ts';
import type { TrackerFacts } from '../memory/dirty-tracker.ts';
import { startThread } from './child-threads.ts';
import {
  createWriteFaultShared,
  Figure,
  Word,
  type WriteFaultInput,
  type WriteFaultReport,
  type WriteFaultShared,
} from './write-fault-words.ts';

/** A hundred times what protecting a large VM's pages takes. */
const COLLECT_LIMIT_MS = 5_000;

export interface WriteFaultThreadPort {
  /** Once, if nobody answers faults any more though it was not stopped. */
  onFailed(error: GodwitError): void;
  /** It has ended and uses no descriptor any more. */
  onEnded(): void;
}

export class WriteFaultThread {
  readonly #port: WriteFaultThreadPort;
  readonly #shared: WriteFaultShared;
  readonly #granted: PageBitmap;
  readonly #collected: PageBitmap;
  readonly #control = EventFd.create();
  readonly #worker: Worker;
  readonly #ready = Promise.withResolvers<void>();
  #watch: NodeJS.Timeout | undefined;
  #beats = 0;
  #beatMs = 0;
  #failure: GodwitError | undefined;
  #hasStopped = false;

  constructor(input: Omit<WriteFaultInput, 'shared' | 'controlFd'>, pageCount: number, port: WriteFaultThreadPort) {
    this.#port = port;
    this.#shared = createWriteFaultShared(pageCount);
    this.#granted = new PageBitmap(pageCount, this.#shared.granted);
    this.#collected = new PageBitmap(pageCount, this.#shared.collected);
    const complete: WriteFaultInput = { ...input, controlFd: this.#control.fd, shared: this.#shared };
    this.#worker = startThread({
      module: 'write-fault-worker',
      input: complete,
      stop: () => this.stop(),
    });
    this.#worker.on('message', (report: WriteFaultReport) => {
      if (report.kind === 'ready') this.#begin();
      else this.#fail(GodwitError.fromBody(report.error));
    });
    this.#worker.on('error', (cause) => this.#fail(died(cause)));
    this.#worker.on('exit', () => {
      this.#fail(died());
      this.#ready.reject(this.#failure ?? died());
      this.#control[Symbol.dispose]();
      this.#port.onEnded();
    });
    this.#ready.promise.catch(() => undefined);
  }

  /** Resolves when faults are answered; rejects when they never will be. */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  get counts(): Omit<NonNullable<TrackerFacts['groups']>, 'setting'> {
    const { numbers } = this.#shared;
    return {
      smallestPages: numbers[Figure.smallestPages]!,
      largestPages: numbers[Figure.largestPages]!,
      faults: numbers[Figure.faults]!,
      pacedFaults: numbers[Figure.pacedFaults]!,
    };
  }

  setBudget(pages: number): void {
    this.#shared.numbers[Figure.budgetPages] = pages;
  }

  setPace(pagesPerSecond: number): void {
    this.#shared.numbers[Figure.pagesPerSecond] = pagesPerSecond;
    // It counts as a sign of life, too. Whoever waits is told to go now, not when his turn would have come.
    Atomics.add(this.#shared.words, Word.renewals, 1);
    if (!this.#hasStopped) this.#control.signal();
  }

  /** The pages that could be written since the last call; from now on none can. Blocks until the thread has answered. */
  collect(): PageRun[] {
    const { words } = this.#shared;
    if (this.#failure) throw this.#failure;
    const asked = Atomics.add(words, Word.asked, 1) + 1;
    this.#control.signal();
    for (;;) {
      const answered = Atomics.load(words, Word.answered);
      if (answered === asked) return this.#collected.runs();
      if (Atomics.load(words, Word.failed) !== 0) this.#fail(died());
      else if (Atomics.wait(words, Word.answered, answered, COLLECT_LIMIT_MS) === 'timed-out') this.#fail(silent());
      if (this.#failure) throw this.#failure;
    }
  }

  /** Of the run, what can be written now. */
  peek(run: PageRun): PageRun[] {
    return this.#granted.runs(run.first, run.first + run.count);
  }

  /** It ends as soon as it looks; idempotent. */
  stop(): void {
    if (this.#hasStopped) return;
    this.#hasStopped = true;
    clearInterval(this.#watch);
    Atomics.store(this.#shared.words, Word.stop, 1);
    this.#control.signal();
  }

  /** From now on it has signs of life to give; how long it loads is the machine's affair. */
  #begin(): void {
    this.#beatMs = performance.now();
    if (!this.#hasStopped) this.#watch = setInterval(() => this.#renew(), RENEWAL_MS).unref();
    this.#ready.resolve();
  }

  /** Tells the thread that this one is alive, and sees whether it is. */
  #renew(): void {
    const { words } = this.#shared;
    Atomics.add(words, Word.renewals, 1);
    const beats = Atomics.load(words, Word.beats);
    const nowMs = performance.now();
    if (beats !== this.#beats) {
      this.#beats = beats;
      this.#beatMs = nowMs;
    } else if (nowMs - this.#beatMs > LEASE_MS) {
      this.#fail(silent());
    }
  }

  #fail(error: GodwitError): void {
    if (this.#hasStopped || this.#failure) return;
    this.#failure = error;
    this.#port.onFailed(error);
  }
}

function died(cause?: unknown): GodwitError {
  return new GodwitError('GW_INTERNAL', { reason: 'the thread that answers write faults died' }, { cause });
}

function silent(): GodwitError {
  return new GodwitError('GW_INTERNAL', { reason: 'the thread that answers write faults says nothing any more' });
}
