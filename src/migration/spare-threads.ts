/**
 * Threads that are loaded before they are needed.
 *
 * Owns: one waiting thread a module. Starting a thread, loading the engine and rehearsing a switchover takes longer than
 * a whole small migration's downtime and counts in every total time, so the daemon keeps the next one ready. It takes a second
 * or more of CPU time as well, which a daemon that has just started, or has just moved a VM, has better use for: it waits.
 * Must hold: a spare keeps no process alive; one that dies is only a slower start; a thread that is needed ends its
 * rehearsal with the turn that it is in, and one that was not there in time rehearses nothing.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { isMoving, MOVING, setMoving } from './moving.ts';
import { NOTHING_TO_DO } from './thread-input.ts';
import { workerModule } from './worker-module.ts';
import type { ThreadData } from './worker-port.ts';

interface Spare {
  readonly thread: Worker;
  /** [0] is 1 when somebody waits for the thread. */
  readonly needed: Int32Array<SharedArrayBuffer>;
}

/** VMs and migrations that were there before are seen to first. */
export const AFTER_START_MS = 3000;
export const AFTER_MIGRATION_MS = 2000;
/** On a small host nothing is loaded while something moves: it would take a CPU from it. */
const MAY_LOAD_WHILE_MOVING = availableParallelism() > 2;
const LOOK_AGAIN_MS = 2000;

const SPARES = new Map<string, Spare>();
const COMING = new Map<string, NodeJS.Timeout>();
let rehearsals: string | null = null;
/** Not where nobody wants them, nor once the process ends: a thread that loads then takes it down with it (child-threads.ts). */
let areKept = false;

/** From now on threads are kept, and rehearse there; what an earlier process left of that is removed. */
export function keepSpareThreadsIn(stateDirectory: string): void {
  areKept = true;
  rehearsals = join(stateDirectory, 'rehearsals');
  rmSync(rehearsals, { recursive: true, force: true });
  mkdirSync(rehearsals, { recursive: true, mode: 0o700 });
}

/** A thread of the module: its first message is its input. */
export function takeThread(module: string): Worker {
  const spare = SPARES.get(module);
  SPARES.delete(module);
  cancelComing(module);
  if (spare) Atomics.store(spare.needed, 0, 1);
  setMoving(true);
  const thread = spare?.thread ?? startSpare(module, { rehearsal: null });
  thread.ref();
  return thread;
}

/** Makes sure that a `takeThread` after that time is quick; nothing to do where none are kept. Who comes earlier waits a little. */
export function keepSpareThread(module: string, afterMs: number): void {
  if (!areKept || SPARES.has(module)) return;
  cancelComing(module);
  const come = (): void => {
    if (MAY_LOAD_WHILE_MOVING || !isMoving()) makeSpare(module);
    else keepSpareThread(module, LOOK_AGAIN_MS);
  };
  COMING.set(module, setTimeout(come, afterMs).unref());
}

function cancelComing(module: string): void {
  clearTimeout(COMING.get(module));
  COMING.delete(module);
}

function makeSpare(module: string): void {
  COMING.delete(module);
  const needed = new Int32Array(new SharedArrayBuffer(4));
  const thread = startSpare(module, { rehearsal: rehearsals === null ? null : { directory: rehearsals, needed } });
  thread.unref();
  const forget = () => {
    if (SPARES.get(module)?.thread === thread) SPARES.delete(module);
  };
  thread.once('exit', forget);
  thread.once('error', forget);
  SPARES.set(module, { thread, needed });
}

/** The daemon ends: nobody rehearses in its state directory any more, and no thread is kept for later. */
export async function endSpareThreads(): Promise<void> {
  rehearsals = null;
  areKept = false;
  for (const module of COMING.keys()) cancelComing(module);
  const spares = [...SPARES.values()];
  SPARES.clear();
  await Promise.all(
    spares.map(async ({ thread, needed }) => {
      Atomics.store(needed, 0, 1);
      // One that dies on its way ends, too.
      const ended = new Promise((resolve) => thread.once('exit', resolve));
      thread.ref();
      thread.postMessage(NOTHING_TO_DO);
      await ended;
    }),
  );
}

function startSpare(module: string, workerData: ThreadData): Worker {
  return new Worker(workerModule(module), { workerData: { ...workerData, moving: MOVING } });
}
