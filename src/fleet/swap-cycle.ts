/**
 * The way out when hosts wait for each other's memory: one VM goes to a third host for the time being.
 *
 * Owns: the search. Pure. Must hold: only a VM that leaves a host to which others want to come is sent there, and each at
 * most once, so detours end; where several would do it is the smallest.
 */
import type { Job } from './job.ts';

export interface Detour {
  readonly job: Job;
  readonly via: string;
}

/**
 * @param jobs - none of which can start, all for want of memory
 * @param spares - hosts that take VMs
 */
export function findDetour(
  jobs: readonly Job[],
  spares: readonly string[],
  freeBytes: (host: string) => number,
): Detour | null {
  const inCycle = jobs.filter((job) => job.detourTo === null && isInCycle(job, jobs));
  const smallestFirst = inCycle.sort((a, b) => a.vm.ramBytes - b.vm.ramBytes);
  // One that makes room at once is better than one that makes some of it.
  for (const mustSuffice of [true, false]) {
    for (const job of smallestFirst) {
      const room = freeBytes(job.from) + job.vm.ramBytes;
      if (mustSuffice && !jobs.some(({ to, vm }) => to === job.from && vm.ramBytes <= room)) continue;
      const via = spares
        .filter((host) => host !== job.from && host !== job.to && freeBytes(host) >= job.vm.ramBytes)
        .sort((a, b) => freeBytes(b) - freeBytes(a))[0];
      if (via !== undefined) return { job, via };
    }
  }
  return null;
}

/** From its destination moves lead, over however many hosts, to its source. */
function isInCycle(job: Job, jobs: readonly Job[]): boolean {
  const reached = new Set([job.to]);
  const open = [job.to];
  for (let host = open.pop(); host !== undefined; host = open.pop()) {
    for (const { from, to } of jobs) {
      if (from !== host || reached.has(to)) continue;
      reached.add(to);
      open.push(to);
    }
  }
  return reached.has(job.from);
}
