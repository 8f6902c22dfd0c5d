/**
 * The threads that this thread has started.
 *
 * Owns: which of them still run, and how each is told to stop. Must hold: no thread of ours is ended from outside while it
 * can be told to stop, least of all while it loads: koffi ends the whole process where its calls of the engine fail, and
 * they fail in a thread that is being ended. A thread that ends ends those that it has started, so it waits for them.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { workerModule } from './worker-module.ts';

export interface ChildThread {
  /** Basename of the module in this folder, without its ending. */
  readonly module: string;
  readonly name: string;
  readonly workerData: unknown;
  /** Idempotent; called also when the thread has been told already. */
  stop(thread: Worker): void;
}

/** A thread that loads, or waits in a call, looks within this time; one that does not has failed. */
const ENDING_MS = 10_000;

/** They make few objects; of what the engine would take by itself most was never used again (docs/performance.md). */
const YOUNG_MEBIBYTES = 4;

const RUNNING = new Map<Worker, () => void>();

export function startThread({ module, name, workerData, stop }: ChildThread): Worker {
  const resourceLimits = { maxYoungGenerationSizeMb: YOUNG_MEBIBYTES };
  const thread = new Worker(workerModule(module), { workerData, name, resourceLimits });
  RUNNING.set(thread, () => stop(thread));
  thread.once('exit', () => RUNNING.delete(thread));
  return thread;
}

/** Tells all that still run to stop, and resolves when they have ended. */
export async function endThreads(): Promise<void> {
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), ENDING_MS);
  await Promise.all(
    [...RUNNING].map(async ([thread, stop]) => {
      const ended = once(thread, 'exit', { signal: late.signal }).catch(() => undefined);
      thread.ref();
      stop();
      await ended;
    }),
  );
  clearTimeout(timer);
}
