/**
 * The typed client of a controller's API: what the CLI, the tests and other programs use.
 *
 * @example
 * const fleet = new FleetClient({ url: 'http://127.0.0.1:7720' });
 * const { id } = await fleet.evacuate({ from: 'a' });
 * for await (const { state, vms } of fleet.watchEvacuation(id)) console.log(state, vms.length);
 */
import type { BalanceBody, BalanceView } from '../api/balance-schema.ts';
import type { EvacuateBody, EvacuationView, FleetHistoryView } from '../api/evacuation-schema.ts';
import type { FleetEvent } from '../api/fleet-event-schema.ts';
import type { CommonPairView, FleetPlanView } from '../api/fleet-plan-schema.ts';
import type { FleetView, MaintenanceAnswer, MaintenanceBody } from '../api/fleet-schema.ts';
import type { FleetActions, HistoryQuery, PlanQuery } from '../api/fleet-service.ts';
import { EventStreamParser } from './event-stream-parser.ts';
import { GodwitClient } from './godwit-client.ts';
import { type Call, Transport, type TransportOptions } from './transport.ts';

export class FleetClient implements FleetActions {
  readonly #options: TransportOptions;
  readonly #transport: Transport;

  constructor(options: TransportOptions) {
    this.#options = options;
    this.#transport = new Transport(options);
  }

  fleet(): Promise<FleetView> {
    return this.#get('/v1/fleet');
  }

  plan(query: PlanQuery): Promise<FleetPlanView> {
    return this.#get('/v1/fleet/plan', { ...query });
  }

  commonality(host?: string): Promise<CommonPairView[]> {
    return this.#get('/v1/fleet/commonality', { host });
  }

  evacuate(request: EvacuateBody): Promise<EvacuationView> {
    return this.#post('/v1/evacuations', request);
  }

  listEvacuations(limit = 100): Promise<EvacuationView[]> {
    return this.#get('/v1/evacuations', { limit });
  }

  showEvacuation(id: string): Promise<EvacuationView> {
    return this.#get(evacuationPath(id));
  }

  cancelEvacuation(id: string): Promise<EvacuationView> {
    return this.#post(`${evacuationPath(id)}/actions/cancel`, {});
  }

  setMaintenance(host: string, request: MaintenanceBody): Promise<MaintenanceAnswer> {
    const path = `/v1/hosts/${encodeURIComponent(host)}/maintenance`;
    return this.#transport.json({ method: 'PUT', path, body: request });
  }

  balance(request: BalanceBody): Promise<BalanceView> {
    return this.#post('/v1/fleet/balance', request);
  }

  history({ limit, vm, host }: HistoryQuery): Promise<FleetHistoryView> {
    return this.#get('/v1/fleet/history', { limit, vm, host });
  }

  /** How it is, and then each change, to its end; ends before when the connection does. */
  async *watchEvacuation(id: string, options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<EvacuationView> {
    for await (const event of this.#events({ method: 'GET', path: `${evacuationPath(id)}/events`, ...options })) {
      if (event.kind === 'evacuationChanged') yield event.evacuation;
    }
  }

  /** Everything that changes in the fleet. Ends when the connection does; go on with the last event's id. */
  events(options: { readonly lastEventId?: string; readonly signal?: AbortSignal } = {}): AsyncIterable<FleetEvent> {
    const { lastEventId, signal } = options;
    return this.#events({
      method: 'GET',
      path: '/v1/events',
      ...(lastEventId === undefined ? {} : { headers: { 'last-event-id': lastEventId } }),
      ...(signal === undefined ? {} : { signal }),
    });
  }

  /** The API of one host, by way of the controller. The caller closes it. */
  host(name: string): GodwitClient {
    return new GodwitClient({ ...this.#options, prefix: `/v1/hosts/${encodeURIComponent(name)}/api` });
  }

  close(): Promise<void> {
    return this.#transport.close();
  }

  #get<T>(path: string, query: Call['query'] = {}): Promise<T> {
    return this.#transport.json({ method: 'GET', path, query });
  }

  #post<T>(path: string, body: unknown): Promise<T> {
    return this.#transport.json({ method: 'POST', path, body });
  }

  async *#events(call: Call): AsyncGenerator<FleetEvent> {
    const parser = new EventStreamParser();
    const decoder = new TextDecoder();
    for await (const chunk of this.#transport.stream(call)) {
      for (const { data } of parser.push(decoder.decode(chunk, { stream: true }))) yield JSON.parse(data) as FleetEvent;
    }
  }
}

function evacuationPath(id: string): string {
  return `/v1/evacuations/${encodeURIComponent(id)}`;
}
