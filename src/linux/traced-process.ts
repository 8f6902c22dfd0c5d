/**
 * What /proc says of a process that is to be stopped and made to run a system call (ptrace.ts).
 */
import { closeSync, openSync, readFileSync, readlinkSync, readSync } from 'node:fs';
import { basename } from 'node:path';
import { explain, GodwitError } from '../base/errors.ts';
import { type MemoryMapping, readMappings } from './process.ts';

/** Id of the thread that has it; 0: none, or it has ended. */
export function tracerOf(tid: number): number {
  return Number(statusField(tid, 'TracerPid') ?? 0);
}

/** Of the calling thread. */
export function ownTid(): number {
  return Number(basename(readlinkSync('/proc/thread-self')));
}

/** Whether the processor checks where its thread returns to (CET), which needs a newer C library and is not on by default. */
export function hasShadowStack(tid: number): boolean {
  return statusField(tid, 'x86_Thread_features')?.includes('shstk') === true;
}

/**
 * The ELF file that the kernel gives to every process; undefined when it has been unmapped.
 *
 * @throws GW_SYS_PROCESS_GONE, GW_SYS_INJECT where it cannot be read
 */
export function readVdso(tid: number): { start: bigint; bytes: Buffer } | undefined {
  const vdso = mappingsOfLiving(tid).find(({ path }) => path === '[vdso]');
  if (!vdso) return undefined;
  const bytes = Buffer.alloc(Number(vdso.end - vdso.start));
  try {
    readMemory(tid, vdso.start, bytes);
  } catch (error) {
    // One that has ended since is told apart by that alone: there are five ways in which the kernel says it.
    mappingsOfLiving(tid);
    throw new GodwitError('GW_SYS_INJECT', { pid: tid, reason: `its vDSO cannot be read: ${explain(error)}` });
  }
  return { start: vdso.start, bytes };
}

/** A process that is ending has none before it is gone. Throws GW_SYS_PROCESS_GONE. */
function mappingsOfLiving(tid: number): MemoryMapping[] {
  const mappings = readMappings(tid);
  if (mappings.length === 0) throw new GodwitError('GW_SYS_PROCESS_GONE', { pid: tid });
  return mappings;
}

function readMemory(tid: number, at: bigint, into: Buffer): void {
  const memory = openSync(`/proc/${tid}/mem`, 'r');
  try {
    const bytes = readSync(memory, into, 0, into.length, at);
    if (bytes < into.length) throw new Error(`it ends after ${bytes} bytes`);
  } finally {
    closeSync(memory);
  }
}

function statusField(tid: number, name: string): string | undefined {
  try {
    return new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(readFileSync(`/proc/${tid}/status`, 'latin1'))?.[1];
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}
