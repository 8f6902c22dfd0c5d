/**
 * Processes that outlive the one that starts them.
 *
 * Must hold: such a process is in a session of its own, so that it gets none of our terminal's signals, and no child of
 * ours, so that nobody has to wait for it and its end leaves no zombie.
 */
import { spawn } from 'node:child_process';
import { GodwitError } from '../base/errors.ts';
import { identifyProcess, type ProcessIdentity } from './process.ts';

export interface DetachedOptions {
  /** Its stdout and stderr are appended to it. */
  readonly logPath: string;
  /** Default `/`. */
  readonly cwd?: string;
  /** Beside our own. */
  readonly env?: Readonly<Record<string, string>>;
}

/** `$1` is the log. In a non-interactive shell setsid need not fork, so `$!` is the program itself. */
const LAUNCH_SCRIPT = 'log=$1; shift; setsid "$@" </dev/null >>"$log" 2>&1 & echo $!';

/**
 * Returns at once; undefined when it has ended already. That it does not do its work shows later, and in its log.
 *
 * @param words - the program and its arguments
 * @throws GW_QEMU_START when there is no shell to start it
 */
export async function launchDetached(
  words: readonly string[],
  { logPath, cwd, env }: DetachedOptions,
): Promise<ProcessIdentity | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const shell = spawn('/bin/sh', ['-c', LAUNCH_SCRIPT, 'sh', logPath, ...words], {
    cwd: cwd ?? '/',
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let problem = '';
  shell.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  shell.stderr.on('data', (chunk: Buffer) => {
    problem += chunk.toString();
  });
  shell.once('error', (cause) => reject(new GodwitError('GW_QEMU_START', { reason: 'no shell' }, { cause })));
  shell.once('close', () => {
    const pid = Number.parseInt(output, 10);
    if (Number.isSafeInteger(pid)) resolve(pid);
    else reject(new GodwitError('GW_QEMU_START', { reason: problem.trim() || 'the launcher gave no process id' }));
  });
  return identifyProcess(await promise);
}
