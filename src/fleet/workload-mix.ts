/** What VMs do, and how many do what. Pure. */

export const WORKLOADS = ['idle', 'web', 'database', 'periodic', 'rewriting'] as const;
export type Workload = (typeof WORKLOADS)[number];

/** Of all VMs, in proportion. */
export type WorkloadMix = Readonly<Record<Workload, number>>;

export const EVEN_MIX: WorkloadMix = { idle: 1, web: 1, database: 1, periodic: 1, rewriting: 1 };

/** One for each of so many VMs, so that any of them that follow each other are as mixed as all are. */
export function mixWorkloads(mix: WorkloadMix, count: number): Workload[] {
  const all = WORKLOADS.reduce((sum, workload) => sum + mix[workload], 0);
  const given = new Map<Workload, number>();
  return Array.from({ length: count }, (_, i) => {
    const behind = (workload: Workload): number => mix[workload] * (i + 1) - (given.get(workload) ?? 0) * all;
    // The one that is furthest behind its share.
    const next = WORKLOADS.reduce((a, b) => (behind(b) > behind(a) ? b : a));
    given.set(next, (given.get(next) ?? 0) + 1);
    return next;
  });
}
