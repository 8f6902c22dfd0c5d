/**
 * Every call of a controller's API, typed. Owns the paths; who carries a call is given (client/call.ts), so that programs and the
 * dashboard in a browser make the same ones.
 */
import type { BalanceBody, BalanceView } from '../api/balance-schema.ts';
import type { CommonalityView } from '../api/commonality-schema.ts';
import type { EvacuateBody, EvacuationView, FleetHistoryView } from '../api/evacuation-schema.ts';
import type { FleetEvent } from '../api/fleet-event-schema.ts';
import type { CommonPairView, FleetPlanView } from '../api/fleet-plan-schema.ts';
import type { FleetRecording } from '../api/fleet-recording-schema.ts';
import type { FleetView, ForgottenHost, MaintenanceAnswer, MaintenanceBody } from '../api/fleet-schema.ts';
import type { FleetActions, HistoryQuery, PlanQuery } from '../api/fleet-service.ts';
import { LONGEST_SILENCE_MS } from '../api/keep-alive.ts';
import type { LeadBody, Leader } from '../api/order-schema.ts';
import type { Call, CallCarrier } from './call.ts';
import { parseEvents } from './event-stream-parser.ts';

export class FleetCalls implements FleetActions {
  readonly #transport: CallCarrier;

  constructor(transport: CallCarrier) {
    this.#transport = transport;
  }

  fleet(): Promise<FleetView> {
    return this.#transport.json({ method: 'GET', path: '/v1/fleet' });
  }
  plan({ skip, together, ...query }: PlanQuery): Promise<FleetPlanView> {
    const sets = together?.map((set) => set.join(',')).join(';');
    const all = { ...query, skip: skip?.join(','), together: sets };
    return this.#transport.json({ method: 'GET', path: '/v1/fleet/plan', query: all });
  }
  recording(): Promise<FleetRecording> {
    return this.#transport.json({ method: 'GET', path: '/v1/fleet/recording' });
  }
  commonality(host?: string): Promise<CommonPairView[]> {
    return this.#transport.json({ method: 'GET', path: '/v1/fleet/commonality', query: { host } });
  }
  hostCommonality(host: string, isExact: boolean): Promise<CommonalityView> {
    const path = `/v1/hosts/${encodeURIComponent(host)}/api/v1/commonality`;
    return this.#transport.json({ method: 'GET', path, query: { exact: isExact ? 'true' : undefined } });
  }
  history(query: HistoryQuery): Promise<FleetHistoryView> {
    return this.#transport.json({ method: 'GET', path: '/v1/fleet/history', query: { ...query } });
  }
  balance(request: BalanceBody): Promise<BalanceView> {
    return this.#transport.json({ method: 'POST', path: '/v1/fleet/balance', body: request });
  }
  lead(request: LeadBody): Promise<Leader> {
    return this.#transport.json({ method: 'POST', path: '/v1/fleet/lead', body: request });
  }
  setMaintenance(host: string, request: MaintenanceBody): Promise<MaintenanceAnswer> {
    const path = `/v1/hosts/${encodeURIComponent(host)}/maintenance`;
    return this.#transport.json({ method: 'PUT', path, body: request });
  }
  forgetHost(host: string): Promise<ForgottenHost> {
    return this.#transport.json({ method: 'DELETE', path: `/v1/hosts/${encodeURIComponent(host)}/registration` });
  }
  /** Begins it; carried out by the controller that leads. */
  evacuate(request: EvacuateBody): Promise<EvacuationView> {
    return this.#transport.json({ method: 'POST', path: '/v1/evacuations', body: request });
  }
  listEvacuations(limit = 100): Promise<EvacuationView[]> {
    return this.#transport.json({ method: 'GET', path: '/v1/evacuations', query: { limit } });
  }
  showEvacuation(id: string): Promise<EvacuationView> {
    return this.#transport.json({ method: 'GET', path: evacuationPath(id) });
  }
  cancelEvacuation(id: string): Promise<EvacuationView> {
    return this.#transport.json({ method: 'POST', path: `${evacuationPath(id)}/actions/cancel` });
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

  close(): Promise<void> {
    return this.#transport.close();
  }

  #events(call: Call): AsyncGenerator<FleetEvent> {
    return parseEvents(this.#transport.stream({ ...call, longestSilenceMs: LONGEST_SILENCE_MS }));
  }
}

function evacuationPath(id: string): string {
  return `/v1/evacuations/${encodeURIComponent(id)}`;
}
