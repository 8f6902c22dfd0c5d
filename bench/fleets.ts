/**
 * The bench's fleets: everything that is measured on three hosts.
 *
 * Owns: their names, and how often each runs. They take minutes and gigabytes each, so they run less often than the others.
 */
import { FLEET_CASES, measureFleets } from './fleet-evacuation.ts';
import { measureQuiet, QUIET_CASE, renderQuiet } from './fleet-quiet.ts';
import { renderEvacuations } from './fleet-table.ts';
import type { NetworkPair } from './network.ts';
import type { Results } from './results.ts';
import type { Bench } from './system.ts';

export const FLEET_NAMES: readonly string[] = [...FLEET_CASES.map(({ name }) => name), QUIET_CASE];
const MOST_RUNS = 2;

export async function measureAllFleets(
  bench: Bench,
  network: NetworkPair,
  wanted: readonly string[],
  runs: number,
  results: Results,
  tell: (line: string) => void,
  stop: AbortSignal,
): Promise<void> {
  const cases = FLEET_CASES.filter(({ name }) => wanted.includes(name));
  for (let round = 0; round < Math.min(runs, MOST_RUNS); round++) {
    await measureFleets(bench, network, cases, results, `f${process.pid}-${round}`, tell, stop);
  }
  if (wanted.includes(QUIET_CASE)) await measureQuiet(bench, network, results, `q${process.pid}`, tell, stop);
}

/** Empty when none has run. */
export function renderFleets(results: Results): string[] {
  return [...renderEvacuations(results), ...renderQuiet(results)];
}
