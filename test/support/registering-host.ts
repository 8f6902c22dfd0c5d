/** What a host says over NATS, without a host. */
import type { NatsStore } from '../../src/controller/nats-store.ts';
import type { Heartbeats } from '../../src/nats/heartbeats.ts';
import type { Registration, SigningKey } from '../../src/nats/signed-words.ts';

/** Says what a daemon says of itself, when the test says so. Nothing beats by itself. */
export class RegisteringHost implements Disposable {
  readonly registration: Registration;
  readonly #store: NatsStore;
  readonly #key: SigningKey;
  readonly #beats: Heartbeats;
  #n = 0;

  constructor(store: NatsStore, key: SigningKey, registration: Omit<Registration, 'version' | 'endedAtMs'>) {
    this.#store = store;
    this.#key = key;
    this.registration = { ...registration, version: '1', endedAtMs: null };
    this.#beats = store.heartbeats(key);
  }

  /** As its record, whoever has it. */
  async register(change: Partial<Registration> = {}): Promise<void> {
    const key = `host.${this.registration.name}`;
    const known = await this.#store.read(key);
    await this.#store.write(
      key,
      this.#key.signRegistration({ ...this.registration, ...change }),
      known?.revision ?? null,
    );
  }

  beat(nonce: string | null = null): void {
    const { name, daemonId } = this.registration;
    this.#beats.beat({ name, daemonId, n: ++this.#n, nonce });
  }

  /** From now on it answers whoever calls. */
  answer(): void {
    this.#beats.onCall(this.registration.name, (nonce) => this.beat(nonce));
  }

  [Symbol.dispose](): void {
    this.#beats[Symbol.dispose]();
  }
}
