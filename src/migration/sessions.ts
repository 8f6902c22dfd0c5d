/**
 * Which incoming migration a session key belongs to: the thread that has it, and its journal.
 *
 * Owns: the tables for this process. Keys are random, so daemons that share a process (in tests) do not collide.
 * Must hold: a key is looked up by its hash, so the time that takes tells who guesses keys nothing; guessing reads no
 * file; of journals a bounded number is known.
 */
import { createHash } from 'node:crypto';
import type { WorkerHandle } from './worker-handle.ts';

/** More than a host keeps by default, and two megabytes at most. */
const MAX_JOURNALS = 10_000;

const THREADS = new Map<string, WorkerHandle>();
/** Paths, the latest last. */
const JOURNALS = new Map<string, string>();

/** Known until the thread has ended, or has no more to say than its journal has. */
export function rememberThread(sessionKey: string, handle: WorkerHandle): void {
  const key = hashOf(sessionKey);
  const forget = (): void => {
    if (THREADS.get(key) === handle) THREADS.delete(key);
  };
  THREADS.set(key, handle);
  // One that has completed waits for the source's release; any other is about to end.
  handle.ended.then(({ outcome }) => (outcome === 'completed' ? undefined : forget())).catch(forget);
  handle.exited.then(forget).catch(forget);
}

export function rememberJournal(sessionKey: string, path: string): void {
  const key = hashOf(sessionKey);
  JOURNALS.delete(key);
  JOURNALS.set(key, path);
  if (JOURNALS.size > MAX_JOURNALS) JOURNALS.delete(JOURNALS.keys().next().value!);
}

export function findThread(sessionKey: string): WorkerHandle | undefined {
  const handle = THREADS.get(hashOf(sessionKey));
  return handle?.isGone === true ? undefined : handle;
}

/** The journal's path; it may have been deleted since. */
export function findJournalOf(sessionKey: string): string | undefined {
  return JOURNALS.get(hashOf(sessionKey));
}

function hashOf(sessionKey: string): string {
  return createHash('sha256').update(sessionKey).digest('base64');
}
