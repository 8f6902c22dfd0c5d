/**
 * Faults that tests order: places in the product at which something fails that cannot be made to fail from outside.
 *
 * `GODWIT_FAULT=name[:nth]`, several separated by commas: the nth time, the first when it is not said. Owns: the counts, which all
 * threads of the process share. Must hold: without the variable nothing fails.
 */
import { getEnvironmentData, setEnvironmentData } from 'node:worker_threads';
import { GodwitError } from '../base/errors.ts';

/**
 * `journalAppend`: the nth record that is appended to an opened journal cannot be written. `pageRequest`: the source's thread that
 * answers page requests fails at the nth. `pageAnswer`: the destination's that puts the answers in place fails at the nth.
 * `threadPhase`: the migration's thread dies of an error in its nth phase, counted over all threads of the process.
 * `upgradeLoaded`, `upgradeCommitted`: the replacing of a QEMU stands still before and after its commit (see `holdAtFaultPoint`).
 */
export const FAULT_POINTS = [
  'journalAppend',
  'pageRequest',
  'pageAnswer',
  'threadPhase',
  'upgradeLoaded',
  'upgradeCommitted',
] as const;
export type FaultPoint = (typeof FAULT_POINTS)[number];

const COUNTS_KEY = 'godwit fault counts';

const ordered: ReadonlyMap<FaultPoint, ReadonlySet<number>> = parseFaults(process.env['GODWIT_FAULT'] ?? '');

const counts = sharedCounts();

/**
 * @param nth - where the place counts for itself; otherwise how often the process has come here
 * @throws GW_SYS_CALL when a fault was ordered for this time
 */
export function passFaultPoint(point: FaultPoint, nth?: number): void {
  const faults = ordered.get(point);
  if (!faults) return;
  const now = nth ?? Atomics.add(counts, FAULT_POINTS.indexOf(point), 1) + 1;
  if (faults.has(now)) throw new GodwitError('GW_SYS_CALL', { call: point, errno: 'EIO' });
}

/** Never returns when a fault was ordered for this time: whoever ends the process then ends it just here. */
export async function holdAtFaultPoint(point: FaultPoint): Promise<void> {
  try {
    passFaultPoint(point);
  } catch {
    await new Promise(() => setInterval(() => undefined, 2 ** 30));
  }
}

/** Where a fault was ordered for this time the thread dies of it as soon as it has done what it is at. */
export function dieAtFaultPoint(point: FaultPoint): void {
  try {
    passFaultPoint(point);
  } catch (fault) {
    setImmediate(() => {
      throw fault;
    });
  }
}

/** Those of the thread that started this one. */
function sharedCounts(): Int32Array {
  const known = getEnvironmentData(COUNTS_KEY);
  if (known instanceof Int32Array) return known;
  const created = new Int32Array(new SharedArrayBuffer(4 * FAULT_POINTS.length));
  setEnvironmentData(COUNTS_KEY, created);
  return created;
}

/** What is no fault point is left out. */
export function parseFaults(text: string): ReadonlyMap<FaultPoint, ReadonlySet<number>> {
  const faults = new Map<FaultPoint, Set<number>>();
  for (const word of text.split(',')) {
    const [name, nth = '1'] = word.trim().split(':');
    const point = FAULT_POINTS.find((known) => known === name);
    if (!point || !/^[1-9]\d{0,8}$/.test(nth)) continue;
    faults.set(point, (faults.get(point) ?? new Set()).add(Number(nth)));
  }
  return faults;
}
