/**
 * Hosts that are marked for maintenance and are to be left, which nobody evacuates.
 *
 * Must hold: a mark and the evacuation that belongs to it are two writes: where a controller died, or its store fell silent, in between,
 * the one that leads asks for the evacuation. It does so once for each time that a host was marked: one that ended incomplete, or that
 * a person has cancelled, is not begun again by itself.
 */
import { hasCode } from '../base/errors.ts';
import type { Evacuations } from './evacuations.ts';
import { CLOCKS_APART_MS } from './fleet-hosts.ts';
import type { Seen } from './fleet-look.ts';

/** Whoever has marked the host asks for the evacuation itself by then: a store answers within 3 s, or not at all. */
const LEFT_ALONE_MS = 15_000;
/** Evacuations that are looked through for one since the mark. */
const LOOKED_THROUGH = 1000;

export class MarkedHosts {
  readonly #evacuations: Evacuations;
  /** By host, the moment since when it was to be left for which an evacuation was found. */
  readonly #found = new Map<string, number>();

  constructor(evacuations: Evacuations) {
    this.#evacuations = evacuations;
  }

  /** Asks for what is missing. */
  async evacuate({ atMs, marks, answers }: Pick<Seen, 'atMs' | 'marks' | 'answers'>): Promise<void> {
    for (const answer of answers) {
      const leftSinceMs = marks.get(answer.name)?.leftSinceMs ?? null;
      // One that is silent, or empty, may have VMs again.
      if (leftSinceMs === null || !('outlook' in answer) || answer.outlook.vms.length === 0) continue;
      if (atMs - leftSinceMs < LEFT_ALONE_MS || this.#found.get(answer.name) === leftSinceMs) continue;
      await this.#evacuate(answer.name, leftSinceMs);
    }
  }

  async #evacuate(host: string, leftSinceMs: number): Promise<void> {
    const all = await this.#evacuations.listStored(LOOKED_THROUGH);
    const isFound = all
      .filter(({ from, onlyVms }) => from === host && onlyVms === null)
      .some(({ endedAtMs }) => endedAtMs === null || endedAtMs > leftSinceMs - CLOCKS_APART_MS);
    if (isFound) {
      this.#found.set(host, leftSinceMs);
      return;
    }
    try {
      await this.#evacuations.request({ from: host }, 'maintenance');
    } catch (error) {
      // Some of its VMs are just leaving it, or somebody was faster: it is looked at again.
      if (!hasCode(error, 'GW_CONFLICT')) throw error;
    }
  }
}
