/**
 * What the npm package `godwit` exports: the client of a host daemon, the types and errors that it speaks in, and the
 * planner of fleets (docs/fleet.md), which works on numbers and starts nothing.
 *
 * @example
 * import { GodwitClient } from 'godwit';
 * const client = new GodwitClient({ url: 'http://127.0.0.1:7700' });
 * const ended = await client.migrateAndWait('web1', { to: '10.0.0.2:7710' });
 * console.log(ended.report?.downtimeMs);
 */
export type { BalanceBody, BalanceView } from './api/balance-schema.ts';
export type { EvacuateBody, EvacuationView, FinishedMigrationView, FleetHistoryView } from './api/evacuation-schema.ts';
export type { HostEvent, HostEventBody } from './api/event-schema.ts';
export type { FleetEvent } from './api/fleet-event-schema.ts';
export type { CommonPairView, FleetPlanView } from './api/fleet-plan-schema.ts';
export type { FleetHostView, FleetView, FleetVmView } from './api/fleet-schema.ts';
export type { GroupMigrationView } from './api/group-migration-schema.ts';
export type { GroupDetailView, GroupView } from './api/group-schema.ts';
export type { HostView, TuneHostBody } from './api/host-schema.ts';
export type { MigrateBody, MigrationView, ReportView, TuneBody } from './api/migration-schema.ts';
export { type AdoptBody, VM_STATES, type VmEnd, type VmSpecInput, type VmState, type VmView } from './api/vm-schema.ts';
export { ERRORS, type ErrorBody, type ErrorCode, GodwitError, hasCode } from './base/errors.ts';
export { createPageSample, type PageSample, sampleKey } from './base/page-sample.ts';
export { FleetClient } from './client/fleet-client.ts';
export { GodwitClient } from './client/godwit-client.ts';
export type { VmAction } from './client/host-calls.ts';
export type { TransportOptions } from './client/transport.ts';
export type { Commonality, SharedRegion } from './fleet/commonality.ts';
export { explainPlan } from './fleet/explain.ts';
export { type FleetContents, joinContents, type VmContents } from './fleet/fleet-contents.ts';
export {
  DEFAULT_POLICY,
  type FleetHost,
  type FleetLink,
  type FleetPolicy,
  type FleetState,
  type FleetVm,
  type Move,
  type MoveState,
  type Reservation,
} from './fleet/fleet-state.ts';
export { nextPlan } from './fleet/next-plan.ts';
export { findPeriod, type Period } from './fleet/period.ts';
export type { FleetPlan, PlannedGroup, PlannedMove, Refusal, Wait } from './fleet/plan.ts';
export { type DirtyCurve, type DirtySample, fitDirtyCurve } from './migration/dirty-curve.ts';
export type { CheckResult } from './migration/handle.ts';
export type { DirtyHistory, HistorySample } from './migration/history.ts';
export { type Expectation, expectOf, type Visit } from './migration/known-links.ts';
export type { MigrationProgress } from './migration/progress.ts';
export type { DowntimeParts, MigrationReport, PostCopyReport, RoundReport, VerifyReport } from './migration/report.ts';
export { DEFAULT_MIGRATION_OPTIONS, type MigrationMode, type MigrationOptions } from './migration/request.ts';
