/**
 * What the balancer has begun, and what has become of it.
 *
 * Owns: the records `balance.begun`, `balanced.HOST` and `stayed.UUID`. Must hold: of two who begin in the same moment, at whichever
 * controllers, one does; a host rests from the last arrival on, and not because something was wanted of it; a VM that has stayed is left
 * alone for a while, longer each time, so that others have their turn.
 */
import type { EvacuationView } from '../api/evacuation-schema.ts';
import { hasCode, type JsonValue } from '../base/errors.ts';
import type { Evacuations } from './evacuations.ts';
import type { Seen } from './fleet-look.ts';
import type { FleetStore } from './store.ts';

/** A VM that has stayed when it was to be moved. */
export interface Stay {
  /** The evacuation that it was part of. */
  readonly evacuation: string;
  readonly atMs: number;
  /** For so long it is left alone. */
  readonly forMs: number;
  readonly reason: string;
}

/** Who may begin something: see `begin`. */
export interface BalanceTurn {
  /** null: nothing was ever begun. */
  readonly revision: number | null;
}

const BEGUN = 'balance.begun';
/** Whatever keeps a VM from moving seldom passes in minutes, and each try costs its host a migration. */
const FIRST_STAY_MS = 3_600_000;
/** It is forgotten as well, so long after it is over. */
const LONGEST_STAY_MS = 24 * FIRST_STAY_MS;
/** Longer than a controller takes from the turn to the evacuation's record: a store answers within 3 s, or not at all. */
const LOST_AFTER_MS = 15_000;

export class BalanceOutcomes {
  readonly #store: FleetStore;
  readonly #evacuations: Evacuations;
  /** By id of one that was begun, since when its evacuation has been missing. */
  readonly #missing = new Map<string, number>();

  constructor(store: FleetStore, evacuations: Evacuations) {
    this.#store = store;
    this.#evacuations = evacuations;
  }

  /** What has become of all that was begun is known from then on. Returns null while some of it goes on. */
  async learn(seen: Seen): Promise<BalanceTurn | null> {
    const found = await this.#store.read(BEGUN);
    const ids = (found?.value ?? []) as readonly string[];
    const open: string[] = [];
    for (const id of ids) if (!(await this.#learnOf(id, seen))) open.push(id);
    for (const id of this.#missing.keys()) if (!open.includes(id)) this.#missing.delete(id);
    if (found === null || open.length === ids.length) return open.length > 0 ? null : turnOf(found?.revision ?? null);
    const revision = await this.#store.write(BEGUN, open, found.revision);
    // Another controller has learnt it meanwhile, and may have begun something.
    return revision === null || open.length > 0 ? null : turnOf(revision);
  }

  /** Whether these evacuations, which nobody has asked for yet, may be: else somebody else was faster. */
  async begin(ids: readonly string[], { revision }: BalanceTurn): Promise<boolean> {
    return (await this.#store.write(BEGUN, [...ids], revision)) !== null;
  }

  /** By host, when a VM has come or gone last. */
  async balancedAtMs(): Promise<ReadonlyMap<string, number>> {
    const all = await this.#store.list('balanced');
    return new Map(all.map(({ key, value }) => [key.slice('balanced.'.length), value as number]));
  }

  /** By UUID, VMs that are left alone now. */
  async stays(nowMs: number): Promise<ReadonlyMap<string, Stay>> {
    const known = (await this.#store.list('stayed')).map(
      ({ key, value }) => [key.slice('stayed.'.length), value as unknown as Stay] as const,
    );
    return new Map(known.filter(([, stay]) => endOf(stay) > nowMs));
  }

  /** Whether it is over. */
  async #learnOf(id: string, seen: Seen): Promise<boolean> {
    const view = await this.#find(id);
    if (view === null) {
      const sinceMs = this.#missing.get(id) ?? seen.atMs;
      this.#missing.set(id, sinceMs);
      // Its controller has died before it had written it down, or it was refused.
      return seen.atMs - sinceMs >= LOST_AFTER_MS;
    }
    for (const { vm, state, to, endedAtMs } of view.vms) {
      if (state !== 'arrived' || to === null) continue;
      await this.#restFrom(view.from, endedAtMs ?? seen.atMs);
      await this.#restFrom(to, endedAtMs ?? seen.atMs);
      const uuid = uuidOf(vm, to, seen);
      if (uuid !== null) await this.#store.remove(keyOf(uuid));
    }
    if (view.endedAtMs === null) return false;
    await this.#keepStays(view, seen);
    return true;
  }

  async #find(id: string): Promise<EvacuationView | null> {
    try {
      return await this.#evacuations.show(id);
    } catch (error) {
      if (hasCode(error, 'GW_FLEET_UNKNOWN')) return null;
      throw error;
    }
  }

  async #restFrom(host: string, atMs: number): Promise<void> {
    const key = `balanced.${host}`;
    const found = await this.#store.read(key);
    if (found !== null && (found.value as number) >= atMs) return;
    await this.#store.write(key, atMs, found?.revision ?? null);
  }

  async #keepStays(view: EvacuationView, seen: Seen): Promise<void> {
    await this.#forget(seen.atMs);
    const gone = view.vms.filter(({ state }) => state === 'arrived' || state === 'left').map(({ vm }) => vm);
    for (const vm of view.onlyVms ?? []) {
      const uuid = gone.includes(vm) ? null : uuidOf(vm, view.from, seen);
      if (uuid === null) continue;
      const told = view.vms.find((each) => each.vm === vm)?.reason ?? view.error?.message ?? `it was ${view.state}`;
      await this.#keepStay(uuid, { evacuation: view.id, atMs: view.endedAtMs!, reason: told });
    }
  }

  /** Whoever else learns it at the same time writes the same. */
  async #keepStay(uuid: string, stay: Omit<Stay, 'forMs'>): Promise<void> {
    const found = await this.#store.read(keyOf(uuid));
    const before = found?.value as unknown as Stay | undefined;
    if (before?.evacuation === stay.evacuation) return;
    const forMs = before ? Math.min(2 * before.forMs, LONGEST_STAY_MS) : FIRST_STAY_MS;
    await this.#store.write(keyOf(uuid), { ...stay, forMs } as unknown as JsonValue, found?.revision ?? null);
  }

  async #forget(nowMs: number): Promise<void> {
    for (const { key, value } of await this.#store.list('stayed')) {
      if (nowMs - endOf(value as unknown as Stay) > LONGEST_STAY_MS) await this.#store.remove(key);
    }
  }
}

export function endOf({ atMs, forMs }: Stay): number {
  return atMs + forMs;
}

function turnOf(revision: number | null): BalanceTurn {
  return { revision };
}

/** null: the host lists it no more. */
function uuidOf(vm: string, host: string, { picture }: Seen): string | null {
  return picture.vms.find(({ fleetVm }) => fleetVm.name === vm && fleetVm.host === host)?.outlook.uuid ?? null;
}

function keyOf(uuid: string): string {
  return `stayed.${uuid}`;
}
