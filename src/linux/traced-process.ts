/**
 * What /proc says of a process that is to be stopped and made to run a system call (ptrace.ts).
 */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { GodwitError } from '../base/errors.ts';

/** Id of the thread that has it; 0: none, or it has ended. */
export function tracerOf(tid: number): number {
  try {
    return Number(/^TracerPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${tid}/status`, 'latin1'))?.[1] ?? 0);
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return 0;
    throw error;
  }
}

/** The address of a `syscall` instruction (0f 05) in the vDSO, which every 64-bit process has. */
export function findSyscallInstruction(tid: number): bigint {
  const vdso = /^([0-9a-f]+)-([0-9a-f]+) r-xp .*\[vdso\]$/m.exec(readFileSync(`/proc/${tid}/maps`, 'latin1'));
  if (vdso) {
    const start = BigInt(`0x${vdso[1]}`);
    const code = Buffer.alloc(Number(BigInt(`0x${vdso[2]}`) - start));
    const memory = openSync(`/proc/${tid}/mem`, 'r');
    try {
      const bytes = readSync(memory, code, 0, code.length, start);
      const at = code.subarray(0, bytes).indexOf(Buffer.of(0x0f, 0x05));
      if (at >= 0) return start + BigInt(at);
    } finally {
      closeSync(memory);
    }
  }
  throw new GodwitError('GW_SYS_INJECT', { pid: tid, reason: 'it has no vDSO with a syscall instruction' });
}
