/** How busy this host is: CPUs, memory, and what waits for them (proc(5)). */
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { readIdleMs } from './idle-time.ts';

export interface CpuReading {
  /** Monotonic. */
  readonly atMs: number;
  /** Since the host started, of all CPUs together. */
  readonly idleMs: number;
}

export function readCpus(): CpuReading {
  return { atMs: performance.now(), idleMs: readIdleMs() };
}

/** Reads two files a CPU: to be asked once. */
export function countCpus(): number {
  return cpus().length;
}

/** The part of the last minute in which something waited (pressure stall information); null: this kernel does not tell. */
export function readStallPart(resource: 'cpu' | 'memory'): number | null {
  try {
    const text = readFileSync(`/proc/pressure/${resource}`, 'utf8');
    const percent = /^some .*avg60=([\d.]+)/m.exec(text)?.[1];
    return percent === undefined ? null : Number(percent) / 100;
  } catch (error) {
    // ENOENT: not built in; EOPNOTSUPP: switched off at boot.
    if (['ENOENT', 'EOPNOTSUPP', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) return null;
    throw error;
  }
}
