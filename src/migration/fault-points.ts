/**
 * Faults that tests order: places in the product at which something fails that cannot be made to fail from outside.
 *
 * `GODWIT_FAULT=name[:nth]`, several separated by commas: the nth time (the first when it is not said) as the place counts.
 * Must hold: without the variable nothing fails.
 */
import { GodwitError } from '../base/errors.ts';

/** `journalAppend`: the nth record that is appended to an opened journal cannot be written. */
export const FAULT_POINTS = ['journalAppend'] as const;
export type FaultPoint = (typeof FAULT_POINTS)[number];

const ordered: ReadonlyMap<FaultPoint, ReadonlySet<number>> = parseFaults(process.env['GODWIT_FAULT'] ?? '');

/** @throws GW_SYS_CALL when a fault was ordered for this time */
export function passFaultPoint(point: FaultPoint, nth: number): void {
  if (ordered.get(point)?.has(nth)) throw new GodwitError('GW_SYS_CALL', { call: point, errno: 'EIO' });
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
