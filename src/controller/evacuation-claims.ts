/**
 * Which evacuations each host has.
 *
 * Owns: the records `claim.HOST`. Must hold: of two that are asked for in the same moment, at whichever controllers, one is first and the
 * other learns of it; one of all VMs of a host has it alone, those of only some of its VMs share it, and none of them a VM; a claim is made before the
 * evacuation's record and given back before that goes, and one whose controller died in between is found by the one that leads.
 */
import type { EvacuationView } from '../api/evacuation-schema.ts';
import type { Clock } from '../base/clock.ts';
import { GodwitError, type JsonValue } from '../base/errors.ts';
import type { FleetStore, StoredRecord } from './store.ts';

interface Claim {
  /** Of the evacuation. */
  readonly id: string;
  readonly isWhole: boolean;
  /** Those that it is of, where it is not of all; undefined: an older controller wrote it. */
  readonly vms?: readonly string[];
}

type Claimant = Pick<EvacuationView, 'id' | 'from' | 'onlyVms'>;

/** Longer than a controller takes from the claim to the record: a store answers within 3 s, or not at all. */
const LOST_AFTER_MS = 15_000;

export class EvacuationClaims {
  readonly #store: FleetStore;
  readonly #clock: Clock;
  /** By id, since when its evacuation has been missing. */
  readonly #missing = new Map<string, number>();
  #lookedAtMs = Number.NEGATIVE_INFINITY;

  constructor(store: FleetStore, clock: Clock) {
    this.#store = store;
    this.#clock = clock;
  }

  /** null: it has the host; else the id of the one that has. One that has it already has it. */
  async claim({ id, from, onlyVms }: Claimant): Promise<string | null> {
    const own: Claim = onlyVms === null ? { id, isWhole: true } : { id, isWhole: false, vms: onlyVms };
    for (;;) {
      const found = await this.#store.read(keyOf(from));
      const claims = claimsOf(found);
      if (claims.some((claim) => claim.id === id)) return null;
      const first = claims.find((claim) => !isApart(claim, own));
      if (first) return first.id;
      if (await this.#write(from, [...claims, own], found)) return null;
    }
  }

  async free({ id, from }: Pick<Claimant, 'id' | 'from'>): Promise<void> {
    for (;;) {
      const found = await this.#store.read(keyOf(from));
      const claims = claimsOf(found);
      const rest = claims.filter((claim) => claim.id !== id);
      if (rest.length === claims.length || (await this.#write(from, rest, found))) return;
    }
  }

  /** Frees those that have been without an evacuation for long; looks now and then. @param known - ids of all that have a record */
  async freeLost(known: ReadonlySet<string>): Promise<void> {
    const nowMs = this.#clock.nowMs();
    if (nowMs - this.#lookedAtMs < LOST_AFTER_MS) return;
    this.#lookedAtMs = nowMs;
    const missing = (await this.#store.list('claim')).flatMap((record) =>
      claimsOf(record).flatMap(({ id }) => (known.has(id) ? [] : [{ id, from: record.key.slice(keyOf('').length) }])),
    );
    for (const id of this.#missing.keys()) if (!missing.some((each) => each.id === id)) this.#missing.delete(id);
    for (const { id, from } of missing) {
      const sinceMs = this.#missing.get(id) ?? nowMs;
      this.#missing.set(id, sinceMs);
      if (nowMs - sinceMs >= LOST_AFTER_MS) await this.free({ id, from });
    }
  }

  /** Whether nobody was faster. A record without claims stays: one that is removed could be another's by then. */
  async #write(host: string, claims: readonly Claim[], found: StoredRecord | null): Promise<boolean> {
    const revision = found?.revision ?? null;
    return (await this.#store.write(keyOf(host), claims as unknown as JsonValue, revision)) !== null;
  }
}

/** @param first - the id of the one that has its host, or one of its VMs */
export function refuseClaimed({ from, onlyVms }: Pick<Claimant, 'from' | 'onlyVms'>, first: string): GodwitError {
  const what = onlyVms === null ? 'it is' : `it, or one of ${onlyVms.join(', ')}, is`;
  const reason = `${what} being evacuated already (${first}): cancel that first, or wait for its end`;
  return new GodwitError('GW_CONFLICT', { kind: 'host', name: from, reason });
}

function isApart(one: Claim, other: Claim): boolean {
  return !one.isWhole && !other.isWhole && !(one.vms ?? []).some((vm) => other.vms?.includes(vm));
}

function claimsOf(record: StoredRecord | null): readonly Claim[] {
  return (record?.value ?? []) as unknown as readonly Claim[];
}

function keyOf(host: string): string {
  return `claim.${host}`;
}
