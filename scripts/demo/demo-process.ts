/**
 * The processes that the demo starts: `bin/godwit`, and whatever that starts in turn.
 *
 * Owns: the mark in the environment by which all of them are found again, in whatever session they are.
 * Must hold: only processes with the mark are ever ended, and none of them is a child of the terminal's process group:
 * Ctrl-C reaches the demo alone, which then ends them in order.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { identifyProcess, type ProcessIdentity, signalProcess } from '../../src/linux/process.ts';

export const GODWIT: string = fileURLToPath(new URL('../../bin/godwit', import.meta.url));

const MARK = 'GODWIT_DEMO';
/** Of this run. */
const RUN = `${process.pid}.${Date.now()}`;

export interface SpawnOptions {
  readonly stdout: 'pipe';
  /** A file descriptor. */
  readonly stderr: number;
  readonly env?: Readonly<Record<string, string>>;
}

/** `godwit ARGS…` in a session of its own. */
export function spawnGodwit(args: readonly string[], options: SpawnOptions): ChildProcess {
  return spawn(GODWIT, [...args], {
    detached: true,
    env: { ...process.env, ...options.env, [MARK]: RUN },
    stdio: ['ignore', options.stdout, options.stderr],
  });
}

/** Waits until it has ended, with all that it wrote to stdout. */
export async function finish(
  child: ChildProcess,
): Promise<{ readonly status: number | null; readonly stdout: string }> {
  let stdout = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, stdout };
}

export interface MarkedProcess extends ProcessIdentity {
  readonly command: string;
}

/** Everything that the demo has started and that is still alive. */
export function listProcesses(): MarkedProcess[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid)
    .flatMap((pid) => {
      const identity = identifyProcess(pid);
      if (identity === undefined || !readWords(pid, 'environ').includes(`${MARK}=${RUN}`)) return [];
      return [{ ...identity, command: readWords(pid, 'cmdline').join(' ') }];
    });
}

export function isQemu({ command }: MarkedProcess): boolean {
  return command.split(' ', 1)[0]!.includes('qemu-system');
}

export function end(process: ProcessIdentity, signal: 'SIGTERM' | 'SIGKILL'): void {
  signalProcess(process, signal);
}

function readWords(pid: number, file: 'environ' | 'cmdline'): string[] {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'latin1').split('\0');
  } catch (error) {
    // It has ended, or is somebody's whom we may not look into: not ours.
    if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) return [];
    throw error;
  }
}
