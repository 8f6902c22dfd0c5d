/**
 * What a controller does by itself, again and again: it looks at the hosts, tells what has changed, and, if it leads, carries out what is
 * to be done, keeps the history whole, has marked hosts evacuated and balances.
 *
 * Must hold: a round that fails is told once, and the next one is made all the same; no host's answer beside its look is waited for;
 * however long a round takes, at most one waits behind it.
 */
import type { BalanceView } from '../api/balance-schema.ts';
import type { HostEvent } from '../api/event-schema.ts';
import type { MigrationView } from '../api/migration-schema.ts';
import { explain, hasCode } from '../base/errors.ts';
import type { Fleet } from './fleet.ts';
import type { FleetFile } from './fleet-file.ts';
import type { Seen } from './fleet-look.ts';
import { showHosts, showVms } from './fleet-view.ts';
import { HostWatch } from './host-watch.ts';
import { MarkedHosts } from './marked-hosts.ts';
import { MissedMigrations } from './missed-migrations.ts';

export interface FleetRoundsOptions {
  readonly fleet: Fleet;
  leads(): boolean;
  /** @param reason - null: it works again */
  told(reason: string | null): void;
}

const LOOK_EVERY_MS = 5_000;
/** A host that has something to tell is looked at after so long, so that many events are one look. */
const LOOK_SOON_MS = 300;
/** Of what hosts tell, as often as its mean of a minute can have changed. */
const BALANCE_EVERY_MS = 30_000;
const TELLING: ReadonlySet<HostEvent['kind']> = new Set([
  'vmChanged',
  'vmRemoved',
  'migrationStarted',
  'migrationEnded',
  'hostChanged',
  'eventsMissed',
]);

export class FleetRounds implements AsyncDisposable {
  readonly #options: FleetRoundsOptions;
  readonly #watch: HostWatch;
  readonly #marked: MarkedHosts;
  /** By host, as it was told last. */
  readonly #told = new Map<string, string>();
  readonly #missed: MissedMigrations;
  #timer: NodeJS.Timeout | undefined;
  #dueAtMs = 0;
  #round: Promise<void> = Promise.resolve();
  #isRoundWaiting = false;
  #balancedAtMs = 0;
  #failure: string | null = null;
  #isOver = false;

  constructor(options: FleetRoundsOptions) {
    this.#options = options;
    const watched = {
      hosts: options.fleet.hosts,
      heard: (host: string, event: HostEvent) => this.#hear(host, event),
      failed: (host: string, reason: string) => options.told(`the events of host ${host}: ${reason}`),
    };
    this.#missed = new MissedMigrations({
      migrationsOf: (host) => options.fleet.hosts.migrationsOf(host),
      add: (migrations) => options.fleet.finished.add(migrations),
      failed: (host, reason) => options.told(`the migrations of host ${host}: ${reason}`),
    });
    this.#watch = new HostWatch(watched, namesOf(options.fleet.file));
    this.#marked = new MarkedHosts(options.fleet.evacuations);
    options.fleet.onHostsChanged(() => this.#lookIn(LOOK_SOON_MS));
    this.#lookIn(0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    clearTimeout(this.#timer);
    await this.#watch[Symbol.asyncDispose]();
    await this.#round;
    await this.#missed[Symbol.asyncDispose]();
  }

  #hear(host: string, { id: _id, atMs: _atMs, ...event }: HostEvent): void {
    const { fleet } = this.#options;
    fleet.events.emit({ kind: 'hostEvent', host, event: event as HostEvent });
    if (event.kind === 'eventsMissed') this.#missed.forget(host);
    if (event.kind === 'migrationEnded') {
      if (this.#options.leads()) void this.#guard(() => this.#keep(host, event.migration));
      // It may lead again before a round has seen that it did not.
      else this.#missed.forget(host);
    }
    if (TELLING.has(event.kind)) this.#lookIn(LOOK_SOON_MS);
  }

  /** Unless one is due sooner. */
  #lookIn(ms: number): void {
    const dueAtMs = Date.now() + ms;
    if (this.#isOver || (this.#timer !== undefined && this.#dueAtMs <= dueAtMs)) return;
    clearTimeout(this.#timer);
    this.#dueAtMs = dueAtMs;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#beginRound();
    }, ms);
  }

  /** After the one that goes on. One that has not begun sees whatever was told before. */
  #beginRound(): void {
    if (this.#isRoundWaiting) return;
    this.#isRoundWaiting = true;
    this.#round = this.#round.then(async () => {
      this.#isRoundWaiting = false;
      if (this.#isOver) return;
      await this.#guard(() => this.#look());
      this.#lookIn(LOOK_EVERY_MS);
    });
  }

  async #look(): Promise<void> {
    const { fleet } = this.#options;
    const [seen, evacuations] = [await fleet.look(true), await fleet.evacuations.waiting()];
    this.#watch.follow(namesOf(seen.file));
    const vms = showVms(seen, evacuations);
    for (const host of showHosts(seen)) {
      const here = vms.filter((vm) => vm.host === host.name);
      // When it was heard of is no change.
      const text = JSON.stringify([{ ...host, heardAtMs: null }, here]);
      if (this.#told.get(host.name) === text) continue;
      this.#told.set(host.name, text);
      fleet.events.emit({ kind: 'fleetHostChanged', host, vms: here });
    }
    for (const name of new Set(this.#told.keys()).difference(new Set(namesOf(seen.file)))) {
      this.#told.delete(name);
      fleet.events.emit({ kind: 'fleetHostForgotten', host: name });
    }
    await fleet.evacuations.take();
    if (this.#options.leads()) await this.#lead(seen);
    else this.#missed.forgetAll();
  }

  async #lead(seen: Seen): Promise<void> {
    const { fleet } = this.#options;
    const { balance } = fleet.file;
    for (const answer of seen.answers) {
      if ('outlook' in answer) this.#missed.ask(answer.name);
      else this.#missed.forget(answer.name);
    }
    await this.#marked.evacuate(seen);
    for (const filled of await fleet.balancing.fillNewHosts(seen, balance.fillsNewHosts)) this.#tellMoves(filled);
    if (!balance.isAutomatic || seen.atMs - this.#balancedAtMs < BALANCE_EVERY_MS) return;
    this.#balancedAtMs = seen.atMs;
    this.#tellMoves(await fleet.balancing.balance(seen, { isDry: false, newHost: null, initiator: 'balancer' }));
  }

  /** What a silent store does not take is asked for again. */
  async #keep(host: string, migration: MigrationView): Promise<void> {
    try {
      await this.#options.fleet.finished.add([migration]);
    } catch (error) {
      this.#missed.forget(host);
      throw error;
    }
  }

  #tellMoves(balance: BalanceView): void {
    if (balance.moves.length > 0) this.#options.fleet.events.emit({ kind: 'balanced', balance });
  }

  async #guard(action: () => Promise<void>): Promise<void> {
    try {
      await action();
      this.#tell(null);
    } catch (error) {
      if (!hasCode(error, 'GW_STORE_UNAVAILABLE') && !hasCode(error, 'GW_API_UNREACHABLE')) this.#tell(explain(error));
    }
  }

  #tell(reason: string | null): void {
    if (reason === this.#failure) return;
    this.#failure = reason;
    this.#options.told(reason);
  }
}

function namesOf({ hosts }: FleetFile): string[] {
  return hosts.map(({ name }) => name);
}
