/**
 * Threads that are loaded before they are needed.
 *
 * Owns: one waiting thread a module. Starting a thread, loading the engine and rehearsing a switchover takes longer than
 * a whole small migration's downtime and counts in every total time, so the daemon keeps the next one ready.
 * Must hold: a spare keeps no process alive; one that dies is only a slower start; a thread that is needed at once
 * rehearses nothing.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { workerModule } from './worker-module.ts';
import type { ThreadData } from './worker-port.ts';

const SPARES = new Map<string, Worker>();
let rehearsals: string | null = null;

/** Where spare threads may rehearse from now on; what an earlier process left there is removed. */
export function rehearseIn(stateDirectory: string): void {
  rehearsals = join(stateDirectory, 'rehearsals');
  rmSync(rehearsals, { recursive: true, force: true });
}

/** A thread of the module: its first message is its input. */
export function takeThread(module: string): Worker {
  const spare = SPARES.get(module);
  SPARES.delete(module);
  const thread = spare ?? startThread(module, { rehearsals: null });
  thread.ref();
  return thread;
}

/** Makes sure that the next `takeThread` is quick. */
export function keepSpareThread(module: string): void {
  if (SPARES.has(module)) return;
  const thread = startThread(module, { rehearsals });
  thread.unref();
  const forget = () => {
    if (SPARES.get(module) === thread) SPARES.delete(module);
  };
  thread.once('exit', forget);
  thread.once('error', forget);
  SPARES.set(module, thread);
}

function startThread(module: string, workerData: ThreadData): Worker {
  return new Worker(workerModule(module), { workerData });
}
