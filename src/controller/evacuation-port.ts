/** What an evacuation is asked for, what it needs of the world, and what it tells. */
import type { GroupMigrateBody, GroupMigrationView } from '../api/group-migration-schema.ts';
import type { MigrateBody, MigrationView } from '../api/migration-schema.ts';
import type { OrderWords } from '../api/order-schema.ts';
import type { GodwitError } from '../base/errors.ts';
import type { FleetVm, MoveState } from '../fleet/fleet-state.ts';
import type { Prediction } from '../fleet/group-prediction.ts';
import type { PlannedMove } from '../fleet/plan.ts';
import type { BundledPlan } from './bundled-plan.ts';
import type { FleetPicture } from './fleet-picture.ts';
import type { ForeignMove } from './foreign-moves.ts';
import type { JointPlanning, SharedLook } from './joint-planning.ts';

export interface EvacuationRequest {
  /** The host that all leave. */
  readonly from: string;
  /** null: to wherever is best. */
  readonly to: string | null;
  /** Unix milliseconds; null: none. */
  readonly deadlineAtMs: number | null;
  /** Unix milliseconds: when it began, whoever began it. */
  readonly startedAtMs: number;
  /** Only these; null: all. */
  readonly vms: readonly string[] | null;
  /** VMs that are not to be moved, with the reason. */
  readonly skip?: ReadonlyMap<string, string>;
}

/** How a group's migration ended, and those of its VMs. */
export interface GroupEnd {
  readonly group: GroupMigrationView;
  readonly migrations: readonly MigrationView[];
}

/** What is begun. */
export interface Start {
  readonly move: PlannedMove;
  readonly fleetVm: FleetVm;
}

/** Of one that somebody has begun, as far as it was. */
export interface BegunMove {
  readonly move: PlannedMove;
  readonly startedAtMs: number;
  /** null: it is not known yet, or was not begun after all. */
  readonly id: string | null;
  /** Its id is that of a migration of a group. */
  readonly isOfGroup: boolean;
  /** By which its host knows the order; undefined: an older controller wrote it. */
  readonly requestId?: string;
  /** All that are to switch over at one moment, this one as well; undefined: it goes by itself. */
  readonly together?: readonly string[];
}

/** All that an evacuation has to remember, for whoever goes on with it. */
export interface EvacuationMemory {
  readonly running: readonly BegunMove[];
  readonly arrived: readonly Arrival[];
  readonly failures: readonly { readonly vm: string; readonly failure: Failure }[];
  /** Those that somebody else moves; undefined: an older controller wrote it. */
  readonly foreign?: readonly ForeignMove[];
  /** By the first plan; null: there was none. */
  readonly predictedMs: number | null;
}

export type Failure = Extract<MoveState, { kind: 'failed' | 'parked' }>;

/** `ready`: it is held, and could switch over; `leaving`: it does, or has. */
export type MigrationStage = 'copying' | 'ready' | 'leaving';

/** What hosts are asked for. */
export interface EvacuationHosts {
  begin(host: string, vm: string, request: MigrateBody): Promise<MigrationView>;
  /** The migration that this order has begun; null: it has begun none, and will not where the order's leader is newer than who gave it. */
  find(host: string, order: OrderWords, signal: AbortSignal): Promise<MigrationView | null>;
  /** @param heard - how far it is, each time that the host tells it */
  endOf(host: string, id: string, signal: AbortSignal, heard?: (stage: MigrationStage) => void): Promise<MigrationView>;
  /** Those that are held go on, all at one moment. */
  letGo(host: string, ids: readonly string[]): Promise<unknown>;
  cancel(host: string, id: string): Promise<unknown>;
  /** The same of VMs that share memory: they move by one migration of their group. */
  beginGroup(host: string, name: string, request: GroupMigrateBody): Promise<GroupMigrationView>;
  findGroup(host: string, order: OrderWords, signal: AbortSignal): Promise<GroupMigrationView | null>;
  endOfGroup(host: string, id: string, signal: AbortSignal): Promise<GroupEnd>;
  cancelGroup(host: string, id: string): Promise<unknown>;
}

export interface EvacuationPort {
  /** Of all evacuations of one controller. */
  readonly planning: JointPlanning;
  readonly hosts: EvacuationHosts;
  look(): Promise<SharedLook>;
  /** Of this evacuation. */
  picture(look: SharedLook): FleetPicture;
  /** What has begun, or is about to, is remembered for whoever goes on with it. Throws where nothing is to begin any more. */
  record(): Promise<void>;
  nowMs(): number;
  /** A host that does not answer, and a migration that somebody else has begun, are looked at again after so long. */
  readonly lookAgainMs: number;
  onEvent(event: EvacuationEvent): void;
}

export type EvacuationEvent =
  | { readonly kind: 'planned'; readonly plan: BundledPlan }
  | { readonly kind: 'waits'; readonly reason: string }
  /** Of a VM that somebody else moves. */
  | { readonly kind: 'foreign'; readonly reason: string }
  | { readonly kind: 'started'; readonly move: PlannedMove; readonly id: string }
  | { readonly kind: 'ended'; readonly move: PlannedMove; readonly view: MigrationView }
  | { readonly kind: 'failed'; readonly vm: string; readonly reason: string; readonly attempts: number };

/** Of one VM that has arrived. */
export interface Arrival {
  readonly vm: string;
  /** Of its migration. */
  readonly id: string;
  readonly startedAtMs: number;
  /** When this was heard of (Unix milliseconds); undefined: an older controller wrote it. */
  readonly endKnownAtMs?: number;
  /** null: not known any more; undefined: an older controller wrote it. */
  readonly ramBytes?: number | null;
  readonly prediction: Prediction;
  readonly to: string;
  readonly predictedMs: { readonly p10: number; readonly p50: number; readonly p90: number };
  readonly predictedBytes: number;
  readonly totalMs: number;
  /** With the memory that it shares with others, at the first of them. */
  readonly bytes: number;
  readonly downtimeMs: number | null;
}

export interface EvacuationOutcome {
  readonly state: 'completed' | 'incomplete' | 'cancelled' | 'failed';
  readonly arrived: readonly Arrival[];
  /** Those that have stayed, and why, in a sentence. */
  readonly stayed: readonly { readonly vm: string; readonly reason: string }[];
  /** Those that were left on their way. `id`: null where the host has not told it yet. */
  readonly running: readonly { readonly vm: string; readonly to: string; readonly id: string | null }[];
  /** Of a failed one: what could not be gone on from. */
  readonly error: GodwitError | null;
  readonly totalMs: number;
  /** By the first plan; null: nothing was to be moved. */
  readonly predictedMs: number | null;
}
