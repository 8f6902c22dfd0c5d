/**
 * Threads that are loaded before they are needed.
 *
 * Owns: one waiting thread a module. Starting a thread and loading the engine takes longer than a whole small
 * migration's downtime and counts in every total time, so the daemon keeps the next one ready.
 * Must hold: a spare keeps no process alive; one that dies is only a slower start.
 */
import { Worker } from 'node:worker_threads';
import { workerModule } from './worker-module.ts';

const SPARES = new Map<string, Worker>();

/** A thread of the module: its first message is its input. */
export function takeThread(module: string): Worker {
  const spare = SPARES.get(module);
  SPARES.delete(module);
  const thread = spare ?? new Worker(workerModule(module));
  thread.ref();
  return thread;
}

/** Makes sure that the next `takeThread` is quick. */
export function keepSpareThread(module: string): void {
  if (SPARES.has(module)) return;
  const thread = new Worker(workerModule(module));
  thread.unref();
  const forget = () => {
    if (SPARES.get(module) === thread) SPARES.delete(module);
  };
  thread.once('exit', forget);
  thread.once('error', forget);
  SPARES.set(module, thread);
}
