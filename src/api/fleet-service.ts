/**
 * What the API needs from the controller behind it; the command line uses it too, with or without HTTP between.
 *
 * Owns: the port. Every method that cannot do what it was asked throws a GodwitError.
 */
import type { Readable } from 'node:stream';
import type { BalanceBody, BalanceView } from './balance-schema.ts';
import type { CommonalityView } from './commonality-schema.ts';
import type { EvacuateBody, EvacuationView, FleetHistoryView } from './evacuation-schema.ts';
import type { FleetEvent } from './fleet-event-schema.ts';
import type { CommonPairView, FleetPlanView } from './fleet-plan-schema.ts';
import type { FleetRecording } from './fleet-recording-schema.ts';
import type { FleetView, ForgottenHost, MaintenanceAnswer, MaintenanceBody } from './fleet-schema.ts';
import type { LeadBody, Leader } from './order-schema.ts';

export interface PlanQuery {
  readonly host: string;
  readonly to?: string | undefined;
  readonly deadlineMs?: number | undefined;
  readonly skip?: readonly string[] | undefined;
  readonly together?: readonly (readonly string[])[] | undefined;
}

export interface HistoryQuery {
  readonly limit: number;
  readonly vm?: string | undefined;
  readonly host?: string | undefined;
}

/** What people and programs do with a fleet. */
export interface FleetActions {
  fleet(): Promise<FleetView>;
  plan(query: PlanQuery): Promise<FleetPlanView>;
  /** All that a plan depends on, to be planned with later and elsewhere. */
  recording(): Promise<FleetRecording>;
  /** @param host - only VMs of this one */
  commonality(host?: string): Promise<CommonPairView[]>;
  /** Of one host, also within pages. @param isExact - all memory is looked through */
  hostCommonality(host: string, isExact: boolean): Promise<CommonalityView>;
  /** Begins it; carried out by the controller that leads. */
  evacuate(request: EvacuateBody): Promise<EvacuationView>;
  /** Those that go on and the last that ended, newest first. */
  listEvacuations(limit: number): Promise<EvacuationView[]>;
  /** @param id - its first characters do */
  showEvacuation(id: string): Promise<EvacuationView>;
  cancelEvacuation(id: string): Promise<EvacuationView>;
  setMaintenance(host: string, request: MaintenanceBody): Promise<MaintenanceAnswer>;
  /** Of one that has registered and is gone for good. @throws GW_CONFLICT while it beats, or an evacuation needs it */
  forgetHost(host: string): Promise<ForgottenHost>;
  balance(request: BalanceBody): Promise<BalanceView>;
  /** From then on its orders are of a higher epoch than that. @throws GW_CONFLICT where it does not lead */
  lead(request: LeadBody): Promise<Leader>;
  history(query: HistoryQuery): Promise<FleetHistoryView>;
}

/** A request for the API of one host. */
export interface HostCall {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** With its query, such as `/v1/vms?x=1`. */
  readonly path: string;
  readonly body: unknown;
  readonly lastEventId: string | undefined;
  readonly signal: AbortSignal;
}

export interface HostReply {
  readonly status: number;
  readonly contentType: string | undefined;
  readonly body: Readable;
}

export interface FleetService extends FleetActions {
  readonly events: {
    since(lastId: string): FleetEvent[];
    listen(listener: (event: FleetEvent) => void): () => void;
  };
  /** With the controller's token for that host; what the host answers, whatever that is. */
  callHost(host: string, call: HostCall): Promise<HostReply>;
}
