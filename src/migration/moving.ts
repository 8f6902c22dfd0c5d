/**
 * Whether a VM or a group's memory moves, as all threads of this process know it.
 *
 * Owns: one word of shared memory, made by the main thread and handed on to each thread that is started. Must hold: it is set before
 * a migration's thread is given its work; whoever would hold others up for a while (spare-memory.ts) looks at it first.
 */
import { workerData } from 'node:worker_threads';

/** What every thread of ours is started with. */
export interface MovingData {
  readonly moving: Int32Array<SharedArrayBuffer>;
}

/** A thread that somebody else has started, as a test's, has one of its own. */
export const MOVING: MovingData['moving'] =
  (workerData as Partial<MovingData> | null)?.moving ?? new Int32Array(new SharedArrayBuffer(4));

export function setMoving(isMoving: boolean): void {
  Atomics.store(MOVING, 0, isMoving ? 1 : 0);
}

export function isMoving(): boolean {
  return Atomics.load(MOVING, 0) === 1;
}
