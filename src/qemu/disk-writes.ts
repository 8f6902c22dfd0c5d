/** How fast a VM writes to its disks, and what its QEMU can do about copies of them. */
import { setTimeout as delay } from 'node:timers/promises';
import type { QmpClient } from './qmp.ts';

interface BlockStatistics {
  readonly 'node-name'?: string;
  readonly stats: { readonly wr_bytes: number };
}

/** Long enough for an average, short enough for whoever waits. */
const MEASURE_MS = 500;

/** Bytes a second to each of these nodes; 0 where QEMU does not tell. */
export async function measureWrites(qmp: QmpClient, nodes: readonly string[], signal: AbortSignal): Promise<number[]> {
  const before = await writtenBytes(qmp);
  await delay(MEASURE_MS, undefined, { signal });
  const after = await writtenBytes(qmp);
  return nodes.map((node) => (((after.get(node) ?? 0) - (before.get(node) ?? 0)) * 1000) / MEASURE_MS);
}

/** The mode of a mirror can be changed while it runs (`block-job-change`, QEMU 8.2). */
export async function canChangeMirrors(qmp: QmpClient): Promise<boolean> {
  const commands = await qmp.execute<{ name: string }[]>('query-commands');
  return commands.some(({ name }) => name === 'block-job-change');
}

async function writtenBytes(qmp: QmpClient): Promise<Map<string, number>> {
  const disks = await qmp.execute<BlockStatistics[]>('query-blockstats');
  return new Map(disks.map(({ 'node-name': node = '', stats }) => [node, stats.wr_bytes]));
}
