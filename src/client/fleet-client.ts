/**
 * The typed client of a controller's API: what the CLI, the tests and other programs use.
 *
 * @example
 * const fleet = new FleetClient({ url: 'http://127.0.0.1:7720' });
 * const { id } = await fleet.evacuate({ from: 'a' });
 * for await (const { state, vms } of fleet.watchEvacuation(id)) console.log(state, vms.length);
 */
import { FleetCalls } from './fleet-calls.ts';
import { GodwitClient } from './godwit-client.ts';
import { Transport, type TransportOptions } from './transport.ts';

export class FleetClient extends FleetCalls {
  readonly #options: TransportOptions;

  constructor(options: TransportOptions) {
    super(new Transport(options));
    this.#options = options;
  }

  /** The API of one host, by way of the controller. The caller closes it. */
  host(name: string): GodwitClient {
    return new GodwitClient({ ...this.#options, prefix: `/v1/hosts/${encodeURIComponent(name)}/api` });
  }
}
