/**
 * One client for each host of a fleet.
 *
 * Owns: making and closing them; hosts may come, go, and be elsewhere. Must hold: whoever follows something at a host that has gone, or is
 * elsewhere, hears of its end there and asks again; one of which nobody has proven that it is there is silent.
 */
import { GodwitError } from '../base/errors.ts';
import { GodwitClient } from '../client/godwit-client.ts';
import type { FleetFile, KnownHost } from './fleet-file.ts';

export interface AskedHost {
  readonly api: string;
  readonly token: string | null;
  /** null: nobody has proven yet that it is there. */
  readonly client: GodwitClient | null;
  /** Why it is not asked. */
  readonly unproven: string;
}

export class HostClients implements AsyncDisposable {
  readonly #hosts = new Map<string, AskedHost>();
  readonly #former: GodwitClient[] = [];

  /** Those from now on. @returns hosts that are not asked any more, or elsewhere */
  follow({ hosts }: Pick<FleetFile, 'hosts'>): string[] {
    const names = new Set(hosts.map(({ name }) => name));
    const gone = [...this.#hosts.keys()].filter((name) => !names.has(name));
    for (const name of gone) {
      this.#retire(name);
      this.#hosts.delete(name);
    }
    return [...gone, ...hosts.filter((host) => this.#take(host)).map(({ name }) => name)];
  }

  all(): [string, AskedHost][] {
    return [...this.#hosts];
  }

  /** @throws GW_API_UNREACHABLE, GW_INPUT_INVALID where there is no such host */
  of(host: string): GodwitClient {
    const known = this.#hosts.get(host);
    if (known?.client) return known.client;
    if (known) throw new GodwitError('GW_API_UNREACHABLE', { url: known.api, reason: known.unproven });
    const fix = `give one of ${[...this.#hosts.keys()].join(', ')}`;
    throw new GodwitError('GW_INPUT_INVALID', { field: 'host', value: host, fix });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const clients = [...this.#hosts.values()].flatMap(({ client }) => client ?? []);
    await Promise.all([...this.#former, ...clients].map((client) => client.close()));
  }

  /** Whether it is another place than before. */
  #take({ name, api, token, registration }: KnownHost): boolean {
    const unproven = registration?.unproven ?? null;
    const before = this.#hosts.get(name);
    const isSame = before?.api === api && before.token === token && (before.client === null) === (unproven !== null);
    if (isSame) {
      this.#hosts.set(name, { ...before, unproven: unproven ?? '' });
      return false;
    }
    this.#retire(name);
    const client = unproven === null ? new GodwitClient({ url: api, ...(token === null ? {} : { token }) }) : null;
    this.#hosts.set(name, { api, token, client, unproven: unproven ?? '' });
    return true;
  }

  #retire(name: string): void {
    const client = this.#hosts.get(name)?.client;
    if (client) this.#former.push(client);
  }
}
