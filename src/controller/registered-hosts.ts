/**
 * Hosts that have registered with this fleet.
 *
 * Owns: what the records below `host.` and the heartbeats come to. Must hold: no token goes to an address before the daemon whose record
 * names it has answered a call of this controller with its own nonce: a record that somebody kept, of a daemon that is no more,
 * is answered for by nobody. A host that falls silent, or whose daemon has ended, stays known, since its VMs may run on; so does the
 * address that was proven last while another one is not.
 */
import { randomBytes } from 'node:crypto';
import { explain, GodwitError, hasCode } from '../base/errors.ts';
import { BEAT_MS, type Heartbeats } from '../nats/heartbeats.ts';
import type { Beat, SigningKey } from '../nats/signed-words.ts';
import type { KnownHost } from './fleet-file.ts';
import type { RegisterSettings } from './fleet-register.ts';
import { type Hearing, RegisteredHost } from './registered-host.ts';
import type { FleetStore, StoredRecord } from './store.ts';

export interface RegisteredHostsOptions {
  readonly store: Pick<FleetStore, 'list' | 'read' | 'watch' | 'remove'>;
  /** They end with this. */
  readonly beats: Pick<Heartbeats, 'hearsSinceMs' | 'call' | 'onBeat'> & Disposable;
  readonly key: SigningKey;
  readonly register: RegisterSettings;
  /** Names of the fleet file: what it says of a host counts. */
  readonly named: ReadonlySet<string>;
  /** That a record is none that a host of this fleet has written. */
  told(reason: string): void;
  /** Tests have no time. */
  readonly silentMs?: number;
  readonly lookMs?: number;
}

export interface RefusedRegistration {
  readonly name: string;
  readonly reason: string;
}

const PREFIX = 'host';
/** What a watch was not told while NATS was away, or its server lost, is found so much later at the latest. */
const LOOKS_BETWEEN = 20;
/** Whoever may write to NATS could have any number. */
const MOST_REFUSED = 100;

export class RegisteredHosts implements AsyncDisposable {
  readonly #options: RegisteredHostsOptions;
  readonly #hosts = new Map<string, RegisteredHost>();
  readonly #refused = new Map<string, string>();
  readonly #listeners: (() => void)[] = [];
  readonly #nonce = randomBytes(32).toString('hex');
  readonly #open = new AsyncDisposableStack();
  #looks = 0;
  #hearsSinceMs: number | null = null;
  #turn: Promise<unknown> = Promise.resolve();
  #shown = '';

  private constructor(options: RegisteredHostsOptions) {
    this.#options = options;
  }

  /** Knows all that are registered. @throws GW_STORE_UNAVAILABLE */
  static async open(options: RegisteredHostsOptions): Promise<RegisteredHosts> {
    const hosts = new RegisteredHosts(options);
    const { store, beats, lookMs = BEAT_MS } = options;
    hosts.#open.use(beats);
    beats.onBeat((beat) => hosts.#hear(beat));
    hosts.#open.use(store.watch(PREFIX, (key) => void hosts.#inTurn(() => hosts.#read(key))));
    const timer = setInterval(() => void hosts.#inTurn(() => hosts.#look()), lookMs);
    hosts.#open.defer(() => clearInterval(timer));
    try {
      await hosts.#list();
    } catch (error) {
      await hosts[Symbol.asyncDispose]();
      throw error;
    }
    hosts.#hearsSinceMs = beats.hearsSinceMs;
    return hosts;
  }

  /** Those that the fleet file does not name, by name. */
  get hosts(): KnownHost[] {
    const { named, register } = this.#options;
    return [...this.#hosts]
      .filter(([name]) => !named.has(name))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, host]) => host.known(register, this.#hearing));
  }

  /** Records that no host of this fleet has written. */
  get refused(): RefusedRegistration[] {
    return [...this.#refused].map(([name, reason]) => ({ name, reason }));
  }

  /** It is told whenever hosts come, go, or beat again or no more. */
  onChanged(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** @throws GW_FLEET_UNKNOWN, GW_CONFLICT where it may live, GW_STORE_UNAVAILABLE */
  async forget(name: string): Promise<void> {
    const host = this.#hosts.get(name);
    if (!host && !this.#refused.has(name)) {
      const fix = this.#options.named.has(name)
        ? 'it is one of the fleet file: take it out there'
        : 'godwit fleet status shows those that there are';
      throw new GodwitError('GW_FLEET_UNKNOWN', { kind: 'registered host', name, fix });
    }
    const beats = host ? host.isBeating(this.#hearing) : false;
    if (beats !== false) {
      const reason = beats
        ? 'its daemon lives, and would register again: end it first'
        : 'whether its daemon lives is not known yet: ask again in some seconds';
      throw new GodwitError('GW_CONFLICT', { kind: 'host', name, reason });
    }
    await this.#options.store.remove(`${PREFIX}.${name}`);
    this.#hosts.delete(name);
    this.#refused.delete(name);
    this.#tellChanges();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#open.disposeAsync();
    await this.#turn;
  }

  #hear(beat: Beat): void {
    const host = this.#hosts.get(beat.name);
    if (!host) return;
    // With a thousand hosts there are hundreds of beats a second, most of which change nothing.
    const before = host.isSettled && host.isBeating(this.#hearing);
    host.hear(beat, this.#nonce);
    if (before !== true) this.#tellChanges();
  }

  get #hearing(): Hearing {
    const { beats, silentMs } = this.#options;
    return { sinceMs: beats.hearsSinceMs, silentMs };
  }

  async #look(): Promise<void> {
    const { beats } = this.#options;
    const isAnew = beats.hearsSinceMs !== this.#hearsSinceMs;
    if (beats.hearsSinceMs !== null && (isAnew || ++this.#looks % LOOKS_BETWEEN === 0)) await this.#list();
    this.#hearsSinceMs = beats.hearsSinceMs;
    for (const [name, host] of this.#hosts) {
      if (host.isGone && host.isBeating(this.#hearing) === false) this.#hosts.delete(name);
    }
    for (const [name, host] of this.#hosts) this.#call(name, host);
    this.#tellChanges();
  }

  async #list(): Promise<void> {
    const records = await this.#options.store.list(PREFIX);
    const found = new Set(records.map(({ key }) => nameOf(key)));
    for (const [name, host] of this.#hosts) host.isGone = !found.has(name);
    for (const name of this.#refused.keys()) if (!found.has(name)) this.#refused.delete(name);
    for (const record of records) this.#take(record);
    this.#tellChanges();
  }

  async #read(key: string): Promise<void> {
    const record = await this.#options.store.read(key);
    const name = nameOf(key);
    const host = this.#hosts.get(name);
    if (record) this.#take(record);
    else {
      this.#refused.delete(name);
      if (host) host.isGone = true;
    }
    this.#tellChanges();
  }

  #take({ key, value }: StoredRecord): void {
    const name = nameOf(key);
    const registration = this.#options.key.readRegistration(name, value);
    if (!registration) {
      this.#refuse(name);
      return;
    }
    this.#refused.delete(name);
    const host = this.#hosts.get(name);
    if (host) host.take(registration);
    else this.#hosts.set(name, new RegisteredHost(registration));
    this.#call(name, this.#hosts.get(name)!);
  }

  /** Its daemon is to prove that it has written its record. */
  #call(name: string, { isSettled }: RegisteredHost): void {
    if (!isSettled) this.#options.beats.call(name, this.#nonce);
  }

  #refuse(name: string): void {
    if (this.#refused.has(name) || this.#refused.size >= MOST_REFUSED) return;
    const reason =
      'its registration is not signed with the key of this fleet: give the host the fleetKeyFile of `register`, or forget it';
    this.#refused.set(name, reason);
    this.#options.told(`host ${name}: ${reason}`);
  }

  #tellChanges(): void {
    const shown = JSON.stringify([this.hosts, this.refused]);
    if (shown === this.#shown) return;
    this.#shown = shown;
    for (const listener of this.#listeners) listener();
  }

  /** One after the other, as what they read becomes what is known. */
  #inTurn(action: () => Promise<void>): Promise<void> {
    const done = this.#turn.then(action).catch((error: unknown) => {
      // The next look reads it again.
      if (!hasCode(error, 'GW_STORE_UNAVAILABLE')) this.#options.told(explain(error));
    });
    this.#turn = done;
    return done;
  }
}

function nameOf(key: string): string {
  return key.slice(PREFIX.length + 1);
}
