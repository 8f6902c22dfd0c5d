/**
 * The command line as a user runs it: `bin/godwit`, in a process of its own.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { markChildren } from './leak-check.ts';

export const GODWIT: string = fileURLToPath(new URL('../../bin/godwit', import.meta.url));

export interface CliOptions {
  /** What `--api` names. */
  readonly api?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** Default 60 s; then it is killed and the promise is rejected. */
  readonly timeoutMs?: number;
  /** Sent SIGINT when aborted, as by Ctrl-C. */
  readonly signal?: AbortSignal;
  /** Words in front of bin/godwit, such as `ip netns exec NAME`. */
  readonly launcher?: readonly string[];
  /** Another bin/godwit than this checkout's. */
  readonly program?: string;
}

export interface CliResult {
  /** Exit status; 128 + the signal's number does not occur, a signal rejects. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
  /** What stdout holds, if it is JSON. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into documents of many shapes
  readonly json: any;
}

const TIMEOUT_MS = 60_000;

/** Runs `godwit ARGS… [--api URL]` to its end. */
export async function runCli(args: readonly string[], options: CliOptions = {}): Promise<CliResult> {
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
  const child = spawnGodwit(options.api === undefined ? args : [...args, '--api', options.api], options);
  const output = collectOutput(child);
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  const interrupt = (): void => void child.kill('SIGINT');
  options.signal?.addEventListener('abort', interrupt, { once: true });
  try {
    const [status, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null];
    const { stdout, stderr } = output();
    if (status === null) {
      throw new Error(`godwit ${args.join(' ')} ended by ${signal} (${timeoutMs} ms allowed): ${stdout}${stderr}`);
    }
    return { status, stdout, stderr, json: parseOrUndefined(stdout) };
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', interrupt);
  }
}

/** Runs it with `--json` and returns the document. Throws when the exit status is another than 0. */
// biome-ignore lint/suspicious/noExplicitAny: tests look into documents of many shapes
export async function runCliJson(args: readonly string[], options: CliOptions = {}): Promise<any> {
  const result = await runCli([...args, '--json'], options);
  if (result.status === 0 && result.json !== undefined) return result.json;
  throw new Error(`godwit ${args.join(' ')} ended with ${result.status}: ${result.stdout}${result.stderr}`);
}

export function spawnGodwit(args: readonly string[], options: CliOptions = {}): ChildProcess {
  markChildren();
  const [program, ...words] = [...(options.launcher ?? []), options.program ?? GODWIT, ...args] as [
    string,
    ...string[],
  ];
  return spawn(program, words, {
    cwd: options.cwd ?? '/',
    env: { ...process.env, ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** Collects what a child writes; the function returns it so far. */
export function collectOutput(child: ChildProcess): () => { stdout: string; stderr: string } {
  const chunks = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
  child.stdout?.on('data', (chunk: Buffer) => chunks.stdout.push(chunk));
  child.stderr?.on('data', (chunk: Buffer) => chunks.stderr.push(chunk));
  return () => ({
    stdout: Buffer.concat(chunks.stdout).toString('utf8'),
    stderr: Buffer.concat(chunks.stderr).toString('utf8'),
  });
}

/** The JSON document; undefined when it is none. */
export function parseOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
