/**
 * What the planner is told: hosts, links, VMs, and which moves are wanted, running or over.
 *
 * Owns: the shapes; a controller fills them from its hosts' daemons. Pure. Must hold: the state is all that a plan depends
 * on, so that after each event the controller states anew what is and asks for the next plan.
 */
import type { DirtyCurve } from '../migration/dirty-curve.ts';
import type { Expectation } from '../migration/known-links.ts';
import type { MigrationOptions } from '../migration/request.ts';
import type { Period } from './period.ts';

export interface FleetHost {
  readonly name: string;
  /** For VMs, those included that are there and those that come; never given away twice. */
  readonly memoryBytes: number;
  readonly sendBytesPerSecond: number;
  readonly receiveBytesPerSecond: number;
  /** VMs without a destination of their own may be sent there, also for the time that a swap takes. */
  readonly takesVms: boolean;
}

/** A bottleneck between two sets of hosts, in both directions together. */
export interface FleetLink {
  readonly name: string;
  readonly bytesPerSecond: number;
  readonly between: readonly [readonly string[], readonly string[]];
}

/** Kept free for others on what leads from one host and to the other; null: none of the ports of that end. */
export interface Reservation {
  readonly from: string | null;
  readonly to: string | null;
  readonly bytesPerSecond: number;
}

export interface FleetVm {
  readonly name: string;
  readonly host: string;
  /** What it takes of a host's memory. */
  readonly ramBytes: number;
  /** That hold data. */
  readonly dataPages: number;
  /** How it modifies memory on average, and in which rhythm; null: none. */
  readonly curve: DirtyCurve;
  readonly period: Period | null;
  /** How it will be migrated. */
  readonly options: MigrationOptions;
  readonly canThrottle: boolean;
  readonly canPostCopy: boolean;
}

export type MoveState =
  | { readonly kind: 'waiting' }
  | {
      readonly kind: 'running';
      readonly to: string;
      readonly bytesPerSecond: number;
      /** null: nobody knows; it waits for its connection, and sends nothing. */
      readonly endsAtMs: number | null;
    }
  /** It may be tried again, elsewhere than at `failedAt` if another host has room. */
  | {
      readonly kind: 'failed';
      /** Where it failed last. */
      readonly to: string;
      /** All hosts that it failed to get to. */
      readonly failedAt: readonly string[];
      readonly atMs: number;
      readonly attempts: number;
      readonly reason: string;
    }
  /** By a person, until a person says otherwise. */
  | { readonly kind: 'parked'; readonly reason: string };

/** A VM that shall leave its host. A move that is over is no move any more: the VM's host says where it is. */
export interface Move {
  readonly vm: string;
  /** null: to wherever is best. */
  readonly to: string | null;
  /** Unix milliseconds; null: none of its own. */
  readonly deadlineAtMs: number | null;
  /** Unix milliseconds; the same in every plan, whoever makes it. */
  readonly wantedSinceMs: number;
  readonly state: MoveState;
}

/** `shortest`: the mean VM is there soonest (B6); `makespan`: the last is; `deadline`: latest start first. */
export type Objective = 'shortest' | 'makespan' | 'deadline';

export interface FleetPolicy {
  readonly grouping: 'none' | 'pairs' | 'representatives';
  readonly objective: Objective;
  /** A VM in a rhythm is kept waiting for a quiet phase until so long after its move was wanted; 0: never. */
  readonly maxQuietWaitMs: number;
}

export const DEFAULT_POLICY: FleetPolicy = {
  grouping: 'representatives',
  objective: 'shortest',
  // The longest period that an hour of history shows is 20 minutes.
  maxQuietWaitMs: 1_200_000,
};

export interface FleetState {
  /** Unix milliseconds. */
  readonly nowMs: number;
  readonly hosts: readonly FleetHost[];
  readonly links: readonly FleetLink[];
  readonly reservations: readonly Reservation[];
  /** All of the fleet's, those that stay included. */
  readonly vms: readonly FleetVm[];
  readonly moves: readonly Move[];
  readonly policy: FleetPolicy;
  /** What a migration can count on: see `expectOf`. */
  expect(vm: FleetVm, to: string): Expectation;
}

/** What a migration goes through. */
export interface Route {
  readonly from: string;
  readonly to: string;
}
