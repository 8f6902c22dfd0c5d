/**
 * The typed client of a host daemon's API: what the CLI, the tests and other programs use.
 *
 * @example
 * const client = new GodwitClient({ url: 'http://127.0.0.1:7700' });
 * const { id } = await client.migrate('web1', { to: '10.0.0.2:7710' });
 * for await (const event of client.watchMigration(id)) console.log(event.kind);
 */
import type { HostCall, HostReply } from '../api/fleet-service.ts';
import { HostCalls } from './host-calls.ts';
import { Transport, type TransportOptions } from './transport.ts';

export class GodwitClient extends HostCalls {
  readonly #transport: Transport;

  constructor(options: TransportOptions) {
    const transport = new Transport(options);
    super(transport);
    this.#transport = transport;
  }

  /** A request of somebody else: what the host answers, whatever that is. */
  pass(call: HostCall): Promise<HostReply> {
    return this.#transport.pass(call);
  }
}
