/**
 * Runs a program of the administrator's and waits for it, for a bounded time.
 *
 * Owns: the process and all that it starts in its group: both are ended when it takes too long. Must hold: it is told how it
 * ended, never thrown, and what it writes can be of any size.
 */
import { spawn } from 'node:child_process';

export interface ProgramRun {
  readonly path: string;
  readonly input: string;
  /** Added to the environment of this process. */
  readonly environment: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
}

export type ProgramEnd =
  | { readonly kind: 'ended'; readonly status: number /** What it said last on stderr. */; readonly words: string }
  | { readonly kind: 'signalled'; readonly signal: string; readonly words: string }
  | { readonly kind: 'late'; readonly words: string }
  | { readonly kind: 'notStarted'; readonly reason: string };

/** A sentence or two. */
const MAX_WORDS = 500;

/** Never rejects. */
export function runProgram({ path, input, environment, timeoutMs }: ProgramRun): Promise<ProgramEnd> {
  const { promise, resolve } = Promise.withResolvers<ProgramEnd>();
  const child = spawn(path, [], {
    cwd: '/',
    env: { ...process.env, ...environment },
    // A group of its own: what it has started ends with it.
    detached: true,
    stdio: ['pipe', 'ignore', 'pipe'],
  });
  let words = '';
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    endGroup(child.pid);
  }, timeoutMs);
  child.stderr.on('data', (chunk: Buffer) => {
    words = (words + chunk.toString()).slice(-MAX_WORDS);
  });
  // It need not read what it is told.
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  child.once('error', (error: NodeJS.ErrnoException) => {
    clearTimeout(timer);
    resolve({ kind: 'notStarted', reason: error.code ?? error.message });
  });
  // Not `close`: what it leaves running may have its stderr. What is in the pipe by then is read first.
  child.once('exit', (status, signal) => {
    clearTimeout(timer);
    setImmediate(() => {
      child.stderr.destroy();
      const said = { words: words.trim() };
      if (isLate) resolve({ kind: 'late', ...said });
      else if (status !== null) resolve({ kind: 'ended', status, ...said });
      else resolve({ kind: 'signalled', signal: signal ?? 'unknown', ...said });
    });
  });
  return promise;
}

function endGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    // It has just ended.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
