/** How long the CPUs of this host had nothing to do (proc(5), stat). */
import { readFileSync } from 'node:fs';

/** The kernel's tick as programs see it: the same on every architecture that Linux runs VMs on (sysconf(3), _SC_CLK_TCK). */
export const TICK_MS = 10;
/** Fields of the first line: cpu, user, nice, system, idle, iowait. */
const IDLE_FIELDS = [4, 5] as const;

/** Milliseconds since the host started, of all CPUs together. */
export function readIdleMs(): number {
  const stat = readFileSync('/proc/stat', 'latin1');
  const fields = stat.slice(0, stat.indexOf('\n')).split(/ +/);
  return IDLE_FIELDS.reduce((sum, field) => sum + Number(fields[field]) * TICK_MS, 0);
}
