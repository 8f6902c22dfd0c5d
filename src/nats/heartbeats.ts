/**
 * Heartbeats: that a host's daemon lives, said and heard over core subjects of NATS.
 *
 * Owns: the subjects, and since when this end has been able to hear. Must hold: nothing that bears no right signature is told; what is
 * said while NATS is away is not kept to be said later, when it would be wrong.
 */
import type { NatsConnection, Subscription } from '@nats-io/transport-node';
import { z } from 'zod';
import { explain } from '../base/errors.ts';
import type { Beat, SigningKey } from './signed-words.ts';

export const BEAT_MS = 3_000;
/** Five beats: JetStream has stood still for 5.4 s when one of three servers was killed, 11 s without a majority. */
export const SILENT_MS = 15_000;

const CallSchema = z.object({ nonce: z.string().regex(/^[0-9a-f]{64}$/) });
/** What is longer is none of ours. */
const MOST_BYTES = 4096;

export class Heartbeats implements Disposable {
  readonly #connection: NatsConnection;
  readonly #prefix: string;
  readonly #key: SigningKey;
  readonly #subscriptions: Subscription[] = [];
  /** Of `performance.now()`; null: it is away. */
  #connectedAtMs: number | null = performance.now();

  constructor(connection: NatsConnection, prefix: string, key: SigningKey) {
    this.#connection = connection;
    this.#prefix = prefix;
    this.#key = key;
    void this.#follow();
  }

  /** Since when every beat has been heard, by `performance.now()`; null: NATS is away. */
  get hearsSinceMs(): number | null {
    return this.#connection.isClosed() ? null : this.#connectedAtMs;
  }

  beat(beat: Beat): void {
    this.#say(`beat.${beat.name}`, JSON.stringify(this.#key.signBeat(beat)));
  }

  /** The daemon that is registered by this name beats at once, with that. */
  call(host: string, nonce: string): void {
    this.#say(`call.${host}`, JSON.stringify({ nonce }));
  }

  /** @param host - left out: of all */
  onBeat(heard: (beat: Beat) => void, host?: string): void {
    this.#subscribe(`beat.${host ?? '>'}`, (value) => {
      const beat = this.#key.readBeat(value);
      if (beat && (host === undefined || beat.name === host)) heard(beat);
    });
  }

  onCall(host: string, heard: (nonce: string) => void): void {
    this.#subscribe(`call.${host}`, (value) => {
      const { success, data } = CallSchema.safeParse(value);
      if (success) heard(data.nonce);
    });
  }

  [Symbol.dispose](): void {
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
  }

  #say(subject: string, text: string): void {
    if (this.hearsSinceMs !== null) this.#connection.publish(`${this.#prefix}.${subject}`, text);
  }

  #subscribe(subject: string, heard: (value: unknown) => void): void {
    const subscription = this.#connection.subscribe(`${this.#prefix}.${subject}`, {
      callback: (error, message) => {
        if (error) process.emitWarning(`Heartbeats are not heard: ${explain(error)}`);
        else if (message.data.length <= MOST_BYTES) heard(parseOrUndefined(message.string()));
      },
    });
    this.#subscriptions.push(subscription);
  }

  async #follow(): Promise<void> {
    for await (const { type } of this.#connection.status()) {
      if (type === 'disconnect') this.#connectedAtMs = null;
      if (type === 'reconnect') this.#connectedAtMs = performance.now();
    }
  }
}

function parseOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
