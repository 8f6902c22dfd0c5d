/**
 * QEMU processes: started so that they outlive this one.
 *
 * Must hold: QEMU is in a session of its own and no child of ours (libuv reaps the ptrace stops of its children, which
 * hangs the tracer); a failed start leaves no process and no RAM file;
 * RAM files lose their name as soon as QEMU has them open, so that memory never outlives the VM.
 */
import { accessSync, constants, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { GodwitError, hasCode } from '../base/errors.ts';
import { launchDetached } from '../linux/detached-process.ts';
import type { ProcessIdentity } from '../linux/process.ts';
import { signalProcess, waitForExit } from '../linux/process.ts';
import { logSize, readLogTail } from './log-tail.ts';
import { QmpClient } from './qmp.ts';

export interface LaunchOptions {
  /** A path, or a name to look up in PATH. */
  readonly binary: string;
  readonly args: readonly string[];
  /** QEMU's stdout and stderr are appended to it. */
  readonly logPath: string;
  /** Default `/`. */
  readonly cwd?: string;
}

export interface StartOptions extends LaunchOptions {
  readonly qmpPath: string;
  /** Files that QEMU creates and that are unlinked once it has them open. */
  readonly ramPaths: readonly string[];
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface StartedQemu {
  readonly identity: ProcessIdentity;
  readonly qmp: QmpClient;
}

/** QEMU is up in 0.1 s; with a preallocated or very large RAM it takes longer. */
const START_TIMEOUT_MS = 30_000;
/** How long a QEMU that has closed its QMP socket may take to be gone: its memory is freed in between. */
const EXIT_GRACE_MS = 5_000;
/** A QEMU that was killed lets go of all that it has mapped first: seconds, with a terabyte of memory. */
const KILL_GRACE_MS = 30_000;
/** From the end of its connections to its own, where nobody has asked it to flush its disks. */
const ENDING_MS = 1_000;

/**
 * Starts QEMU and returns at once. Throws GW_QEMU_START when the binary cannot be run; that QEMU refuses its arguments
 * shows later (see `startQemu`).
 */
export async function launchQemu(options: LaunchOptions): Promise<ProcessIdentity> {
  const binary = findBinary(options.binary);
  const from = logSize(options.logPath);
  const { args, logPath, cwd } = options;
  const identity = await launchDetached([binary, ...args], { logPath, ...(cwd === undefined ? {} : { cwd }) });
  if (identity === undefined) throw startError(options.logPath, from, 'it ended at once');
  return identity;
}

/** Starts QEMU and connects to it. Throws GW_QEMU_START with QEMU's own words; then nothing is left of it. */
export async function startQemu(options: StartOptions): Promise<StartedQemu> {
  try {
    const from = logSize(options.logPath);
    return await connectToStarted(await launchQemu(options), from, options);
  } finally {
    // One that has ended before it was looked at may have made them, too.
    for (const path of options.ramPaths) rmSync(path, { force: true });
  }
}

/** QEMU closes its connections before it is gone: whether the one that has does so because it ends. */
export function isEnding(identity: ProcessIdentity): Promise<boolean> {
  return waitForExit(identity, { timeoutMs: ENDING_MS });
}

/** Ends QEMU without asking the guest or QEMU. True when it is gone. */
export function killQemu(identity: ProcessIdentity): Promise<boolean> {
  signalProcess(identity, 'SIGKILL');
  return waitForExit(identity, { timeoutMs: KILL_GRACE_MS });
}

/** The path of a program. Throws GW_QEMU_START when there is none that may be run. */
export function findBinary(name: string): string {
  const { PATH = '' } = process.env;
  const candidates = name.includes('/') ? [name] : PATH.split(delimiter).map((directory) => join(directory, name));
  const found = candidates.find(isExecutable);
  if (found !== undefined) return found;
  const where = name.includes('/') ? 'is not there or may not be run' : 'is not in PATH';
  const reason = `${name} ${where}: install it (Debian: apt-get install qemu-system-x86) or name another binary`;
  throw new GodwitError('GW_QEMU_START', { reason });
}

/** @param from - where the log of this start begins */
async function connectToStarted(identity: ProcessIdentity, from: number, options: StartOptions): Promise<StartedQemu> {
  const exited = new AbortController();
  const watched = new AbortController();
  void waitForExit(identity, { signal: watched.signal }).then((ended) => {
    if (ended) exited.abort();
  });
  const signal = AbortSignal.any([exited.signal, ...(options.signal ? [options.signal] : [])]);
  try {
    const qmp = await QmpClient.connect(options.qmpPath, {
      timeoutMs: options.timeoutMs ?? START_TIMEOUT_MS,
      signal,
    });
    return { identity, qmp };
  } catch (error) {
    // A QEMU that ends closes its socket first: only then is its own word complete.
    const lost = hasCode(error, 'GW_QMP_CLOSED') || hasCode(error, 'GW_QMP_PROTOCOL');
    const ended = exited.signal.aborted || (lost && (await waitForExit(identity, { timeoutMs: EXIT_GRACE_MS })));
    await killQemu(identity);
    if (options.signal?.aborted) throw options.signal.reason;
    if (ended) throw startError(options.logPath, from, 'it ended by itself');
    throw startError(options.logPath, from, 'it does not answer on its QMP socket', error);
  } finally {
    watched.abort();
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function startError(logPath: string, fromByte: number, otherwise: string, cause?: unknown): GodwitError {
  const words = readLogTail(logPath, fromByte);
  const reason = words === '' ? otherwise : words;
  return new GodwitError('GW_QEMU_START', { reason }, cause === undefined ? undefined : { cause });
}
