/**
 * One daemon per state directory.
 *
 * Owns: the file `daemon.lock`, which names the daemon that uses the directory. Must hold: of two daemons that start
 * at once exactly one gets it; a lock whose process is gone is taken over.
 */
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { GodwitError } from '../base/errors.ts';
import { identifyProcess, isAlive } from '../linux/process.ts';

interface Holder {
  readonly pid: number;
  readonly startTicks: number;
}

/** Released by disposing. */
export interface StateLock extends Disposable {
  /** Disposing releases it no more: it is this process's to its end. */
  keep(): void;
}

/** Throws GW_HOST_START when another daemon has the directory. */
export function lockStateDirectory(directory: string): StateLock {
  const path = join(directory, 'daemon.lock');
  const own = `${path}.${process.pid}`;
  const identity = identifyProcess(process.pid);
  if (!identity) throw new GodwitError('GW_HOST_START', { reason: 'cannot read /proc/self/stat' });
  try {
    writeHolder(own, { pid: identity.pid, startTicks: identity.startTicks });
    // Two tries: the first may find a dead daemon's lock and clear it.
    for (let attempt = 0; attempt < 2; attempt++) {
      if (tryLink(own, path)) return createLock(path);
      const holder = readHolder(path);
      if (holder && isAlive(holder)) throw refusal(directory, holder);
      clearDeadLock(path, own, directory);
    }
    throw refusal(directory, readHolder(path));
  } finally {
    rmSync(own, { force: true });
  }
}

function createLock(path: string): StateLock {
  let isKept = false;
  return {
    keep: () => {
      isKept = true;
    },
    [Symbol.dispose]: () => {
      if (!isKept) rmSync(path, { force: true });
    },
  };
}

function writeHolder(path: string, holder: Holder): void {
  try {
    writeFileSync(path, JSON.stringify(holder), { mode: 0o600 });
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? String(cause);
    const reason = `cannot write ${path} (${code}): a daemon needs some kilobytes of room there`;
    throw new GodwitError('GW_HOST_START', { reason }, { cause });
  }
}

function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to); // fails when `to` exists: atomic, unlike looking first
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

// Moved aside before it is deleted: if another daemon has replaced the dead lock meanwhile, its lock goes back.
function clearDeadLock(path: string, own: string, directory: string): void {
  const aside = `${own}.dead`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  const holder = readHolder(aside);
  const alive = holder !== undefined && isAlive(holder);
  if (alive) tryLink(aside, path);
  rmSync(aside, { force: true });
  if (alive) throw refusal(directory, holder);
}

function readHolder(path: string): Holder | undefined {
  try {
    const parsed = JSON.parse(readFileSync(path, 'utf8')) as Partial<Holder> | null;
    const { pid, startTicks } = parsed ?? {};
    return typeof pid === 'number' && typeof startTicks === 'number' ? { pid, startTicks } : undefined;
  } catch (error) {
    // A torn file is a dead daemon's: a live one has written it whole before it was linked here.
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function refusal(directory: string, holder: Holder | undefined): GodwitError {
  return new GodwitError('GW_HOST_START', {
    reason: `another daemon (pid ${holder?.pid ?? 'unknown'}) uses the state directory ${directory}`,
    pid: holder?.pid ?? null,
  });
}
