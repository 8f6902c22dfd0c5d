/**
 * A host's record in its fleet's bucket, and its heartbeats.
 *
 * Owns: the connection to NATS, the record `host.NAME`. Must hold: the record is written by compare-and-set, and not while another
 * daemon of the same name beats; whatever NATS does, nothing else of the daemon waits for it; a daemon that ends says so in its record,
 * so that the next one of the name need not wait for its silence.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { jetstream } from '@nats-io/jetstream';
import { type KV, type KvEntry, Kvm } from '@nats-io/kv';
import type { NatsConnection } from '@nats-io/transport-node';
import type { RegistrationView } from '../api/host-schema.ts';
import { explain, GodwitError, hasCode } from '../base/errors.ts';
import { connectNats } from '../nats/connect-nats.ts';
import { BEAT_MS, Heartbeats, SILENT_MS } from '../nats/heartbeats.ts';
import type { NatsAccess } from '../nats/nats-access.ts';
import { guard, isConflict } from '../nats/nats-answers.ts';
import { decodeValue, encodeValue } from '../nats/nats-value.ts';
import { type Beat, type Registration, SigningKey } from '../nats/signed-words.ts';

export interface FleetBeaconOptions {
  readonly nats: NatsAccess;
  /** Hexadecimal. */
  readonly fleetKey: string;
  readonly host: Omit<Registration, 'daemonId' | 'endedAtMs'>;
  changed(view: RegistrationView): void;
  /** Tests have no time. */
  readonly silentMs?: number;
  readonly beatMs?: number;
}

interface Link {
  readonly connection: NatsConnection;
  readonly bucket: KV;
  readonly beats: Heartbeats;
}

/** Another daemon that has the record. */
interface Rival {
  readonly daemonId: string;
  /** It was found, or has beaten, by `performance.now()`. */
  atMs: number;
  hasBeaten: boolean;
}

const REQUEST_MS = 3_000;
/** One whose record somebody has removed or replaced writes it again within so many beats. */
const LOOK_EVERY = 5;

export class FleetBeacon implements AsyncDisposable {
  readonly #options: FleetBeaconOptions;
  readonly #key: SigningKey;
  readonly #own: Registration;
  readonly #over = new AbortController();
  readonly #running: Promise<void>;
  #link: Link | undefined;
  #view: RegistrationView = { state: 'waiting', reason: 'NATS is yet to be asked' };
  #revision: number | null = null;
  #rival: Rival | undefined;
  #beats = 0;
  #lookedAt = 0;
  /** Of the connection on which the record was found to be its own. */
  #registeredSinceMs: number | null = null;

  constructor(options: FleetBeaconOptions) {
    this.#options = options;
    this.#key = new SigningKey(options.fleetKey);
    this.#own = { ...options.host, daemonId: randomUUID(), endedAtMs: null };
    this.#running = this.#run();
  }

  get view(): RegistrationView {
    return this.#view;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    // One that is just connecting to a server that says nothing is left alone.
    await Promise.race([this.#running, delay(REQUEST_MS, undefined, { ref: false })]);
    const link = this.#link;
    if (!link) return;
    const isWithdrawn = this.#view.state === 'registered' && link.beats.hearsSinceMs !== null;
    try {
      if (isWithdrawn) await this.#write(link, { ...this.#own, endedAtMs: Date.now() });
    } catch (error) {
      // The next daemon of this name waits for its silence, then.
      if (!hasCode(error, 'GW_STORE_UNAVAILABLE')) throw error;
    }
    link.beats[Symbol.dispose]();
    await link.connection.close();
  }

  async #run(): Promise<void> {
    const { signal } = this.#over;
    while (!signal.aborted) {
      try {
        await this.#turn();
      } catch (error) {
        this.#tell({ state: 'away', reason: explain(error) });
      }
      await delay(this.#options.beatMs ?? BEAT_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  async #turn(): Promise<void> {
    this.#link ??= await this.#open();
    const link = this.#link;
    const { hearsSinceMs } = link.beats;
    if (hearsSinceMs === null) {
      this.#tell({ state: 'away', reason: 'the connection to NATS is lost; it is made again as soon as it can be' });
      return;
    }
    const isKnown = this.#view.state === 'registered' && this.#registeredSinceMs === hearsSinceMs;
    if (!isKnown || this.#beats - this.#lookedAt >= LOOK_EVERY) await this.#claim(link, hearsSinceMs);
    if (this.#view.state === 'registered') this.#beat(link, null);
  }

  async #open(): Promise<Link> {
    const { nats, host } = this.#options;
    const connection = await connectNats(nats, `godwit host ${host.name}`);
    try {
      const bucket = await guard(new Kvm(jetstream(connection, { timeout: REQUEST_MS })).open(nats.prefix));
      const beats = new Heartbeats(connection, nats.prefix, this.#key);
      const link = { connection, bucket, beats };
      beats.onBeat((beat) => this.#hear(beat), host.name);
      beats.onCall(host.name, (nonce) => {
        if (this.#view.state === 'registered') this.#beat(link, nonce);
      });
      return link;
    } catch (error) {
      await connection.close();
      throw error;
    }
  }

  #hear({ daemonId }: Beat): void {
    if (this.#rival?.daemonId !== daemonId) return;
    this.#rival.atMs = performance.now();
    this.#rival.hasBeaten = true;
  }

  /** Finds the record to be its own, or makes it so, or learns whose it is. */
  async #claim(link: Link, hearsSinceMs: number): Promise<void> {
    const found = await this.#read(link);
    const held = found && this.#key.readRegistration(this.#own.name, found.value);
    this.#revision = found?.revision ?? null;
    this.#lookedAt = this.#beats;
    if (held?.daemonId !== this.#own.daemonId) {
      const obstacle = held ? this.#obstacleOf(held, hearsSinceMs) : null;
      if (obstacle) {
        this.#tell(obstacle);
        return;
      }
      // Whoever was faster is seen at the next turn.
      if (!(await this.#write(link, this.#own))) return;
    }
    this.#rival = undefined;
    this.#registeredSinceMs = hearsSinceMs;
    this.#tell({ state: 'registered', reason: null });
  }

  /** Why the record of another daemon is not to be replaced; null: that one lives no more. */
  #obstacleOf({ daemonId, api, endedAtMs }: Registration, hearsSinceMs: number): RegistrationView | null {
    const nowMs = performance.now();
    if (endedAtMs !== null) return null;
    if (this.#rival?.daemonId !== daemonId) this.#rival = { daemonId, atMs: nowMs, hasBeaten: false };
    const { silentMs = SILENT_MS } = this.#options;
    const leftMs = silentMs - (nowMs - Math.max(this.#rival.atMs, hearsSinceMs));
    if (leftMs <= 0) return null;
    const { name } = this.#own;
    if (this.#rival.hasBeaten) {
      const reason = `another daemon named ${name} is registered with ${api}, and lives: give one of the two another name`;
      return { state: 'refused', reason };
    }
    const reason = `whether the daemon at ${api}, registered as ${name}, still lives is known within ${silentMs / 1000} s`;
    return { state: 'waiting', reason };
  }

  async #read({ bucket }: Link): Promise<{ readonly value: unknown; readonly revision: number } | null> {
    const entry: KvEntry | null = await guard(bucket.get(this.#recordKey)).catch((cause: unknown) => {
      const { prefix } = this.#options.nats;
      const reason = `the bucket ${prefix} cannot be read (${explain(cause)}): a controller with --nats makes it when it is started first; docs/fleet.md has what a host needs in NATS`;
      throw new GodwitError('GW_STORE_UNAVAILABLE', { store: 'NATS', reason }, { cause });
    });
    if (entry === null) return null;
    return { value: entry.operation === 'PUT' ? legible(entry.value) : null, revision: entry.revision };
  }

  /** Whether it is there; false: somebody else has written it meanwhile. */
  async #write({ bucket }: Link, registration: Registration): Promise<boolean> {
    const bytes = encodeValue(this.#key.signRegistration(registration));
    try {
      this.#revision = await guard(
        this.#revision === null
          ? bucket.create(this.#recordKey, bytes)
          : bucket.update(this.#recordKey, bytes, this.#revision, REQUEST_MS),
      );
      return true;
    } catch (error) {
      if (isConflict(error)) return false;
      throw error;
    }
  }

  get #recordKey(): string {
    return `host.${this.#own.name}`;
  }

  #beat({ beats }: Link, nonce: string | null): void {
    const { name, daemonId } = this.#own;
    beats.beat({ name, daemonId, n: ++this.#beats, nonce });
  }

  #tell(view: RegistrationView): void {
    const before = this.#view;
    this.#view = view;
    if (before.state !== view.state || before.reason !== view.reason) this.#options.changed(view);
  }
}

/** What somebody else has written there is replaced as if it were nothing. */
function legible(bytes: Uint8Array): unknown {
  try {
    return decodeValue(bytes);
  } catch (error) {
    if (hasCode(error, 'GW_STORE_UNAVAILABLE')) return null;
    throw error;
  }
}
