/**
 * The event streams of all hosts of a fleet.
 *
 * Owns: one stream a host. Must hold: a host that is away is listened to again, from where it was left.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { HostEvent } from '../api/event-schema.ts';
import { GodwitError } from '../base/errors.ts';
import type { FleetHosts } from './fleet-hosts.ts';

/** As soon as a host that was started again should be seen. */
const AGAIN_AFTER_MS = 1000;

export class HostWatch implements AsyncDisposable {
  readonly #over = new AbortController();
  readonly #streams: Promise<void>[];

  constructor(hosts: FleetHosts, names: readonly string[], heard: (host: string, event: HostEvent) => void) {
    this.#streams = names.map((name) => this.#follow(hosts, name, heard));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#over.abort();
    await Promise.all(this.#streams);
  }

  async #follow(hosts: FleetHosts, name: string, heard: (host: string, event: HostEvent) => void): Promise<void> {
    const { signal } = this.#over;
    let lastId: string | undefined;
    while (!signal.aborted) {
      try {
        for await (const event of hosts.eventsOf(name, lastId, signal)) {
          lastId = event.id;
          heard(name, event);
        }
      } catch (error) {
        // Why it does not answer is told by the looks at it.
        if (!(error instanceof GodwitError)) throw error;
      }
      await delay(AGAIN_AFTER_MS, undefined, { signal }).catch(() => undefined);
    }
  }
}
