/**
 * What the VMs of a fleet have in common, joined anew only when it may be another.
 *
 * Must hold: the same contents give what `joinContents` gives of them; only what the last look needed is kept.
 */
import { createPageSample, type PageSample } from '../base/page-sample.ts';
import { decodePageSample } from '../base/page-sample-code.ts';
import type { SharedRegion } from '../fleet/commonality.ts';
import { type FleetContents, joinContents } from '../fleet/fleet-contents.ts';

/** As its host tells it. */
export interface ToldContents {
  readonly vm: string;
  /** base/page-sample-code.ts; null: not known. */
  readonly text: string | null;
  readonly regions: readonly SharedRegion[];
}

interface Decoded {
  readonly text: string | null;
  readonly sample: PageSample;
}

export class JoinedContents {
  #decoded: ReadonlyMap<string, Decoded> = new Map();
  #told: readonly ToldContents[] | null = null;
  #contents: FleetContents | null = null;

  join(given: readonly ToldContents[]): FleetContents {
    // VMs that move change places.
    const told = given.toSorted((a, b) => (a.vm < b.vm ? -1 : 1));
    if (this.#contents && this.#told && isSame(this.#told, told)) return this.#contents;
    const before = this.#decoded;
    const decoded = told.map(({ vm, text }): Decoded => {
      const known = before.get(vm);
      return known?.text === text ? known : { text, sample: decode(text) };
    });
    this.#decoded = new Map(told.map(({ vm }, i) => [vm, decoded[i]!]));
    this.#told = told;
    this.#contents = joinContents(told.map(({ vm, regions }, i) => ({ vm, sample: decoded[i]!.sample, regions })));
    return this.#contents;
  }
}

function decode(text: string | null): PageSample {
  return (text === null ? undefined : decodePageSample(text)) ?? createPageSample([]);
}

function isSame(before: readonly ToldContents[], now: readonly ToldContents[]): boolean {
  const isAsBefore = ({ vm, text, regions }: ToldContents, i: number): boolean => {
    const known = before[i]!;
    return vm === known.vm && text === known.text && JSON.stringify(regions) === JSON.stringify(known.regions);
  };
  return before.length === now.length && now.every(isAsBefore);
}
