/**
 * The contents of a fleet's VMs, joined once for many plans.
 *
 * Owns: which VM has which number in the index and the matrix. Pure. Must hold: a VM that was never sampled has nothing in
 * common with any other.
 */

import type { PageSample } from '../base/page-sample.ts';
import { type Commonality, measureCommonality, type SharedRegion } from './commonality.ts';
import { type ContentIndex, indexContents } from './content-index.ts';
import type { HeldContents, PagesToBring } from './held-contents.ts';

export interface VmContents {
  readonly vm: string;
  readonly sample: PageSample;
  /** Memory that it shares physically with other VMs: not in the sample. */
  readonly regions: readonly SharedRegion[];
}

export interface FleetContents {
  readonly index: ContentIndex;
  readonly commonality: Commonality;
  /** By name. */
  readonly numbers: ReadonlyMap<string, number>;
}

export function joinContents(vms: readonly VmContents[]): FleetContents {
  const index = indexContents(vms.map(({ sample }) => sample));
  return {
    index,
    commonality: measureCommonality(
      index,
      vms.map(({ regions }) => regions),
    ),
    numbers: new Map(vms.map(({ vm }, number) => [vm, number])),
  };
}

/**
 * What a VM with so many pages has to bring: the sample says which part of them is held.
 *
 * @param more - what will be held besides
 */
export function pagesToBring(
  dataPages: number,
  number: number | undefined,
  held: HeldContents,
  more?: HeldContents,
): PagesToBring {
  const sampled = number === undefined ? { newPages: 0, heldPages: 0 } : held.toBring(number, more);
  const heldPart = sampled.heldPages / Math.max(1, sampled.newPages + sampled.heldPages);
  return { newPages: dataPages * (1 - heldPart), heldPages: dataPages * heldPart };
}
