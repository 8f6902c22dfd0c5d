/**
 * Marks of hosts that are to be left alone: they get no VMs.
 *
 * Owns: the records below `maintenance.`. Must hold: where the store does not answer the marks that were seen last count.
 */
import type { EvacuationView } from '../api/evacuation-schema.ts';
import type { FleetHostView } from '../api/fleet-schema.ts';
import { hasCode, type JsonValue } from '../base/errors.ts';
import type { FleetFile } from './fleet-file.ts';
import type { FleetStore } from './store.ts';

export type MarkView = NonNullable<FleetHostView['maintenance']>;

export interface Mark extends MarkView {
  /** Since when its VMs are to leave it; null, or nothing in marks of earlier versions: nobody has said so. */
  readonly leftSinceMs?: number | null;
}

export class Maintenance {
  readonly #store: FleetStore;
  #marks: ReadonlyMap<string, Mark> = new Map();

  constructor(store: FleetStore) {
    this.#store = store;
  }

  /** By host. */
  async marks(): Promise<ReadonlyMap<string, Mark>> {
    try {
      const all = await this.#store.list('maintenance');
      this.#marks = new Map(all.map(({ key, value }) => [key.slice('maintenance.'.length), value as unknown as Mark]));
    } catch (error) {
      if (!hasCode(error, 'GW_STORE_UNAVAILABLE')) throw error;
    }
    return this.#marks;
  }

  /** @param mark - null: it is taken away */
  async set(host: string, mark: Mark | null): Promise<void> {
    const key = `maintenance.${host}`;
    if (!mark) return await this.#store.remove(key);
    // In one write: a mark that is only changed is never away.
    for (let written: number | null = null; written === null; ) {
      const known = await this.#store.read(key);
      written = await this.#store.write(key, mark as unknown as JsonValue, known?.revision ?? null);
    }
  }
}

/** @param before - the mark that it has */
export function markOf(reason: string | undefined, isLeft: boolean, before: Mark | undefined): Mark {
  const atMs = Date.now();
  return { sinceMs: before?.sinceMs ?? atMs, reason: reason ?? null, leftSinceMs: isLeft ? atMs : null };
}

export function showMark({ sinceMs, reason }: Mark): MarkView {
  return { sinceMs, reason };
}

/** Hosts that all of their VMs are to leave. @param open - evacuations that go on */
export function hostsLeft(open: readonly EvacuationView[]): ReadonlySet<string> {
  return new Set(open.flatMap(({ from, onlyVms }) => (onlyVms === null ? [from] : [])));
}

/** Hosts that get no VMs now, not even those that were to go there by name, with the reason. */
export function closedHosts(marks: ReadonlyMap<string, Mark>, left: ReadonlySet<string>): ReadonlyMap<string, string> {
  return new Map([
    ...[...left].map((name) => [name, 'it is being evacuated itself'] as const),
    ...[...marks.keys()].map((name) => [name, 'it is marked for maintenance'] as const),
  ]);
}

/** The fleet with hosts that are marked, or left, as ones that take no VMs. */
export function withMarks(
  file: FleetFile,
  marks: ReadonlyMap<string, Mark>,
  left: ReadonlySet<string> = new Set(),
): FleetFile {
  const closed = closedHosts(marks, left);
  return { ...file, hosts: file.hosts.map((host) => ({ ...host, takesVms: host.takesVms && !closed.has(host.name) })) };
}
