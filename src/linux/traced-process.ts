/**
 * What /proc says of a process that is to be stopped and made to run a system call (ptrace.ts).
 */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { readMappings } from './process.ts';

/** Id of the thread that has it; 0: none, or it has ended. */
export function tracerOf(tid: number): number {
  return Number(statusField(tid, 'TracerPid') ?? 0);
}

/** Whether the processor checks where its thread returns to (CET), which needs a newer C library and is not on by default. */
export function hasShadowStack(tid: number): boolean {
  return statusField(tid, 'x86_Thread_features')?.includes('shstk') === true;
}

/** The ELF file that the kernel gives to every process; undefined when it has been unmapped. Throws GW_SYS_PROCESS_GONE. */
export function readVdso(tid: number): { start: bigint; bytes: Buffer } | undefined {
  const vdso = readMappings(tid).find(({ path }) => path === '[vdso]');
  if (!vdso) return undefined;
  const bytes = Buffer.alloc(Number(vdso.end - vdso.start));
  const memory = openSync(`/proc/${tid}/mem`, 'r');
  try {
    return { start: vdso.start, bytes: bytes.subarray(0, readSync(memory, bytes, 0, bytes.length, vdso.start)) };
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
