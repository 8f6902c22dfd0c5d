/**
 * The threads that this thread has started.
 *
 * Owns: which of them still run, how each is told to stop, and those that wait until they are needed. Must hold: no thread
 * of ours is ended from outside while it can be told to stop, least of all while it loads: koffi ends the whole process
 * where its calls of the engine fail, and they fail in a thread that is being ended. A thread that ends ends those that it
 * has started, so it waits for them.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { MOVING } from './moving.ts';
import { NOTHING_TO_DO } from './thread-input.ts';
import { workerModule } from './worker-module.ts';

export interface ChildThread {
  /** Path of the module from this folder, without its ending. */
  readonly module: string;
  /** What it takes by `takeInput`. */
  readonly input: unknown;
  /** Idempotent; called also when the thread has been told already. */
  stop(thread: Worker): void;
}

/** A thread that loads, or waits in a call, looks within this time; one that does not has failed. */
const ENDING_MS = 10_000;
/** They make few objects; of what the engine would take by itself most was never used again (docs/performance.md). */
const YOUNG_MEBIBYTES = 4;

const RUNNING = new Map<Worker, () => void>();
/** By module: loaded, and waiting for an input. */
const SPARES = new Map<string, Worker[]>();

export function startThread({ module, input, stop }: ChildThread): Worker {
  const thread = SPARES.get(module)?.pop() ?? load(module);
  RUNNING.set(thread, () => stop(thread));
  thread.ref();
  thread.postMessage(input);
  return thread;
}

/** The next so many threads of the module start at once. */
export function keepThreads(module: string, count: number): void {
  const spares = Array.from({ length: count }, () => load(module));
  for (const thread of spares) thread.unref();
  SPARES.set(module, [...(SPARES.get(module) ?? []), ...spares]);
}

/** Tells all that still run to stop, and resolves when they have ended. */
export async function endThreads(): Promise<void> {
  SPARES.clear();
  const late = new AbortController();
  const timer = setTimeout(() => late.abort(), ENDING_MS);
  // Some may be started while others end.
  while (RUNNING.size > 0 && !late.signal.aborted) {
    await Promise.all([...RUNNING].map(([thread, stop]) => end(thread, stop, late.signal)));
  }
  clearTimeout(timer);
}

/**
 * From now on this thread, if it dies of an error, tells those that it has started to stop, and dies when they have ended: one that
 * waits in a call of the kernel would never end otherwise, nor would this one, and nobody would take its place.
 */
export function dieAfterThreads(): void {
  let isDying = false;
  process.on('uncaughtException', (error) => {
    if (isDying) return;
    isDying = true;
    void endThreads().finally(() => {
      process.removeAllListeners('uncaughtException');
      setImmediate(() => {
        throw error;
      });
    });
  });
}

async function end(thread: Worker, stop: () => void, signal: AbortSignal): Promise<void> {
  const ended = once(thread, 'exit', { signal }).catch(() => undefined);
  thread.ref();
  stop();
  await ended;
  // One that does not end is not waited for.
  thread.unref();
}

function load(module: string): Worker {
  const resourceLimits = { maxYoungGenerationSizeMb: YOUNG_MEBIBYTES };
  const thread = new Worker(workerModule(module), { name: module, resourceLimits, workerData: { moving: MOVING } });
  RUNNING.set(thread, () => thread.postMessage(NOTHING_TO_DO));
  thread.once('exit', () => {
    RUNNING.delete(thread);
    const others = SPARES.get(module)?.filter((spare) => spare !== thread);
    if (others) SPARES.set(module, others);
  });
  return thread;
}
