/**
 * The event streams of all hosts of a fleet, also of those that come later.
 *
 * Owns: one stream a host. Must hold: a host that is away is listened to again, from where it was left; so is one that tells what
 * cannot be read, or taken, which is told once and harms no other.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { HostEvent } from '../api/event-schema.ts';
import { explain } from '../base/errors.ts';
import type { FleetHosts } from './fleet-hosts.ts';
import { isDenied, isSilence } from './host-patience.ts';

export interface HostWatchPort {
  readonly hosts: Pick<FleetHosts, 'eventsOf'>;
  heard(host: string, event: HostEvent): void;
  /** @param reason - what is wrong with what it tells */
  failed(host: string, reason: string): void;
}

/** As soon as a host that was started again should be seen. */
const AGAIN_AFTER_MS = 1000;

export class HostWatch implements AsyncDisposable {
  readonly #port: HostWatchPort;
  readonly #againMs: number;
  readonly #streams = new Map<string, { readonly over: AbortController; readonly ended: Promise<void> }>();
  readonly #left: Promise<void>[] = [];

  /** @param againMs - tests have no time */
  constructor(port: HostWatchPort, names: readonly string[], againMs: number = AGAIN_AFTER_MS) {
    this.#port = port;
    this.#againMs = againMs;
    this.follow(names);
  }

  /** Those from now on: others are listened to no more. */
  follow(names: readonly string[]): void {
    for (const [name, { over, ended }] of this.#streams) {
      if (names.includes(name)) continue;
      this.#streams.delete(name);
      over.abort();
      this.#left.push(ended);
    }
    for (const name of names) {
      if (this.#streams.has(name)) continue;
      const over = new AbortController();
      this.#streams.set(name, { over, ended: this.#listen(name, over.signal) });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.follow([]);
    await Promise.all(this.#left);
  }

  async #listen(name: string, signal: AbortSignal): Promise<void> {
    const { hosts, heard, failed } = this.#port;
    let lastId: string | undefined;
    let told: string | null = null;
    while (!signal.aborted) {
      try {
        for await (const event of hosts.eventsOf(name, lastId, signal)) {
          heard(name, event);
          lastId = event.id;
          told = null;
        }
      } catch (error) {
        const reason = explain(error);
        // Why it does not answer, or refuses, is told by the looks at it.
        const isSeen = isSilence(error) || isDenied(error);
        if (!isSeen && reason !== told) failed(name, reason);
        told = isSeen ? null : reason;
      }
      await delay(this.#againMs, undefined, { signal }).catch(() => undefined);
    }
  }
}
