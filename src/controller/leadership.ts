/**
 * Which of several controllers does what is to be done.
 *
 * Owns: the record `lead.leader`. Must hold: there is at most one that believes it, but for a moment that the compare-and-set of
 * each evacuation's record covers, and beyond it the epoch, which hosts know (host/known-orders.ts): it grows whenever one begins to lead; no clock of another machine is relied on: a leader is given up when its record has not
 * changed for a lease's length of the watcher's own time, in which the store answered. What is known of one that is started again is
 * only that it is another process: the directory that both had may be a copy, and the first one alive. One whose store nobody else can
 * have takes up at once what it had.
 */
import { randomUUID } from 'node:crypto';
import type { Leader } from '../api/order-schema.ts';
import type { Clock } from '../base/clock.ts';
import { explain, GodwitError, hasCode, type JsonValue } from '../base/errors.ts';
import type { FleetStore, StoredRecord } from './store.ts';

/** JetStream has stood still for 5.4 s when one of three servers was killed, 11 s without a majority. */
const LEASE_MS = 15_000;
/** A leader that could not say so for this long leads no more: less than the lease, for all that takes time. */
const GIVE_UP_MS = 10_000;
const RENEW_MS = 3_000;
const KEY = 'lead.leader';

interface Lead {
  /** Of the process. */
  readonly id: string;
  readonly name: string;
  /** Grows, so that each renewal is a write. */
  readonly beats: number;
  readonly isOver: boolean;
  /** Of the fleet, made by the first one that led it; undefined in these two: an earlier version wrote it. */
  readonly fleet?: string;
  readonly epoch?: number;
}

export interface LeadershipOptions {
  readonly store: FleetStore;
  readonly name: string;
  readonly clock: Clock;
  readonly changed: () => void;
}

export class Leadership implements AsyncDisposable {
  readonly #options: LeadershipOptions;
  readonly #id: string = randomUUID();
  #timer: NodeJS.Timeout | undefined;
  #turn: Promise<void> = Promise.resolve();
  #isLooking = false;
  #writing: Promise<unknown> = Promise.resolve();
  #isClosed = false;
  #leads = false;
  #leader: string | null = null;
  #orders: Leader | null = null;
  /** Once it leads. */
  #next: Leader | null = null;
  #failure: string | null = null;
  #renewedAtMs = 0;
  #revision: number | null = null;
  #beats = 0;
  #seen: { readonly revision: number; readonly sinceMs: number } | null = null;

  constructor(options: LeadershipOptions) {
    this.#options = options;
  }

  /** By the clock as well: one that was held up has not looked. */
  get leads(): boolean {
    return this.#leads && this.#options.clock.nowMs() - this.#renewedAtMs <= GIVE_UP_MS;
  }

  /** Name of the one that leads, as far as is known. */
  get leader(): string | null {
    return this.#leader;
  }

  /** What its orders bear, also when it leads no more: hosts that know better refuse them. null: it has never led. */
  get orders(): Leader | null {
    return this.#orders;
  }

  /** Why the store does not answer; null: it does. */
  get failure(): string | null {
    return this.#failure;
  }

  /** Looks once, and again and again from then on. */
  async start(): Promise<void> {
    await this.look();
    this.#timer = setInterval(() => {
      // A store that is silent holds a look up for longer: no others wait behind it.
      if (this.#isLooking) return;
      this.#isLooking = true;
      this.#turn = this.look().finally(() => {
        this.#isLooking = false;
      });
    }, RENEW_MS);
  }

  /** Public for tests, which have no time. */
  look(): Promise<void> {
    return this.#inTurn(() => this.#look());
  }

  /**
   * From then on orders are of a higher epoch than this: hosts know it from a controller whose record the store has no more, since it was
   * restored from a backup.
   *
   * @throws GW_CONFLICT where this one does not lead, GW_STORE_UNAVAILABLE
   */
  raise(atLeast: number): Promise<Leader> {
    return this.#inTurn(async () => {
      const before = this.#next;
      if (!this.leads || before === null) throw this.#leadsNot();
      this.#next = { fleet: before.fleet, epoch: Math.max(before.epoch, atLeast) + 1 };
      try {
        if (await this.#write(this.#options.clock.nowMs())) return this.#next;
      } catch (error) {
        // Whether it was written is seen by the next look, which goes on from what there is.
        this.#next = before;
        throw error;
      }
      this.#next = before;
      throw this.#refusal(
        'the record of who leads was written meanwhile: look who leads (`godwit fleet status`), and ask again',
      );
    });
  }

  async #look(): Promise<void> {
    if (this.#isClosed) return;
    const { clock } = this.#options;
    const before = this.#state();
    const atMs = clock.nowMs();
    try {
      await this.#renewOrTake(atMs);
      this.#failure = null;
    } catch (error) {
      if (!hasCode(error, 'GW_STORE_UNAVAILABLE')) throw error;
      this.#failure = explain(error);
      // While the store is silent no leader can say that it lives.
      this.#seen = null;
      if (clock.nowMs() - this.#renewedAtMs > GIVE_UP_MS) this.#leads = false;
    }
    if (this.#state() !== before) this.#options.changed();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    this.#isClosed = true;
    await this.#turn;
    await this.#writing;
    if (!this.#leads || this.#revision === null) return;
    this.#leads = false;
    try {
      await this.#options.store.write(KEY, this.#lead(true), this.#revision);
    } catch (error) {
      // The others wait for the lease to end, then.
      if (!hasCode(error, 'GW_STORE_UNAVAILABLE')) throw error;
    }
  }

  /** The record has one who writes it at a time. */
  #inTurn<T>(action: () => Promise<T>): Promise<T> {
    const done = this.#writing.then(action);
    this.#writing = done.catch(() => undefined);
    return done;
  }

  #leadsNot(): GodwitError {
    if (this.#leader === null) return this.#refusal('it does not lead');
    return this.#refusal(`${this.#leader} leads: give the address of that one (--controller)`);
  }

  #refusal(reason: string): GodwitError {
    return new GodwitError('GW_CONFLICT', { kind: 'controller', name: this.#options.name, reason });
  }

  async #renewOrTake(atMs: number): Promise<void> {
    const { store } = this.#options;
    if (this.#leads && (await this.#write(atMs))) return;
    const found = await store.read(KEY);
    // A write that was made although its answer was lost is one of ours.
    this.#leads = this.#leads && found !== null && leadOf(found).id === this.#id;
    this.#leader = found === null || leadOf(found).isOver ? null : leadOf(found).name;
    if (!this.#mayTake(found, atMs)) return;
    this.#revision = found?.revision ?? null;
    const before = found === null ? undefined : leadOf(found);
    this.#next = { fleet: before?.fleet ?? randomUUID(), epoch: (before?.epoch ?? 0) + 1 };
    await this.#write(atMs);
  }

  #mayTake(found: StoredRecord | null, atMs: number): boolean {
    if (found === null || !this.#options.store.isShared) return true;
    const { id, isOver } = leadOf(found);
    if (isOver || id === this.#id) return true;
    if (this.#seen?.revision !== found.revision) this.#seen = { revision: found.revision, sinceMs: atMs };
    return atMs - this.#seen.sinceMs >= LEASE_MS;
  }

  async #write(atMs: number): Promise<boolean> {
    const { store, name } = this.#options;
    this.#beats++;
    const revision = await store.write(KEY, this.#lead(false), this.#revision);
    if (revision === null) return false;
    this.#revision = revision;
    this.#renewedAtMs = atMs;
    this.#leads = true;
    this.#orders = this.#next;
    this.#leader = name;
    this.#seen = null;
    return true;
  }

  #lead(isOver: boolean): JsonValue {
    const { name } = this.#options;
    return { id: this.#id, name, beats: this.#beats, isOver, ...this.#next! } satisfies Lead;
  }

  #state(): string {
    return JSON.stringify([this.#leads, this.#leader, this.#failure]);
  }
}

function leadOf({ value }: StoredRecord): Lead {
  return value as unknown as Lead;
}
