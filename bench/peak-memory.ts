/** The most memory that a process had at a time, from /proc (proc(5), clear_refs and status). */
import { readFileSync, writeFileSync } from 'node:fs';

/** From now on. */
export function resetPeakMemory(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
}

/** Resident, in MB. */
export function readPeakMegabytes(pid: number): number {
  const [, kibibytes] = /^VmHWM:\s*(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? [];
  return (Number(kibibytes) * 1024) / 1e6;
}
