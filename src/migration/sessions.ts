/**
 * Which incoming migration a session key belongs to.
 *
 * Owns: the table for this process. Keys are random, so daemons that share a process (in tests) do not collide.
 */
import type { WorkerHandle } from './worker-handle.ts';

const SESSIONS = new Map<string, WorkerHandle>();

/** Known until the thread has ended. */
export function rememberSession(sessionKey: string, handle: WorkerHandle): void {
  SESSIONS.set(sessionKey, handle);
  handle.exited
    .then(() => {
      if (SESSIONS.get(sessionKey) === handle) SESSIONS.delete(sessionKey);
    })
    .catch(() => SESSIONS.delete(sessionKey));
}

export function findSession(sessionKey: string): WorkerHandle | undefined {
  return SESSIONS.get(sessionKey);
}
