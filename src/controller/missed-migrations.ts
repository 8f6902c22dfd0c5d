/**
 * Migrations that ended while this controller did not listen to their hosts: each host is asked for those that it knows.
 *
 * Owns: which hosts were asked. Must hold: a host that answers with an error, or slowly, holds up neither the rounds nor other hosts; it
 * is asked again in each round until it has told, and why it does not is told once.
 */
import type { MigrationView } from '../api/migration-schema.ts';
import { explain, hasCode } from '../base/errors.ts';

export interface MissedMigrationsPort {
  /** Newest first. */
  migrationsOf(host: string): Promise<MigrationView[]>;
  /** Whether they are known already or not, oldest first. */
  add(migrations: readonly MigrationView[]): Promise<void>;
  failed(host: string, reason: string): void;
}

export class MissedMigrations implements AsyncDisposable {
  readonly #port: MissedMigrationsPort;
  /** Hosts that have told, or are being asked. */
  readonly #asked = new Set<string>();
  readonly #asking = new Map<string, Promise<void>>();
  /** By host, what was told last. */
  readonly #failures = new Map<string, string>();

  constructor(port: MissedMigrationsPort) {
    this.#port = port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#asking.values());
  }

  /** Goes on by itself. */
  ask(host: string): void {
    if (this.#asked.has(host) || this.#asking.has(host)) return;
    this.#asked.add(host);
    this.#asking.set(
      host,
      this.#ask(host).finally(() => this.#asking.delete(host)),
    );
  }

  /** It may know more by now. */
  forget(host: string): void {
    this.#asked.delete(host);
  }

  forgetAll(): void {
    this.#asked.clear();
  }

  async #ask(host: string): Promise<void> {
    try {
      await this.#port.add((await this.#port.migrationsOf(host)).toReversed());
      this.#failures.delete(host);
    } catch (error) {
      this.#asked.delete(host);
      if (hasCode(error, 'GW_STORE_UNAVAILABLE')) return;
      const reason = explain(error);
      if (this.#failures.get(host) !== reason) this.#port.failed(host, reason);
      this.#failures.set(host, reason);
    }
  }
}
