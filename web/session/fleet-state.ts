/**
 * What the page knows of a fleet, and how each event changes it.
 *
 * Owns: the state's shape and `applyFleetEvent`. Pure. Must hold: as for a host, an event that is told twice changes nothing for good.
 */
import type { EvacuationView } from '../../src/api/evacuation-schema.ts';
import type { FleetEvent } from '../../src/api/fleet-event-schema.ts';
import type { ControllerView, FleetHostView, FleetVmView, LiveMigrationView } from '../../src/api/fleet-schema.ts';
import type { MigrationView } from '../../src/api/migration-schema.ts';
import type { LinkedState } from './live-store.ts';

export interface FleetState extends LinkedState {
  readonly controller: ControllerView | null;
  readonly hosts: readonly FleetHostView[];
  readonly vms: readonly FleetVmView[];
  /** Those that run. */
  readonly migrations: readonly LiveMigrationView[];
  /** Newest first. */
  readonly evacuations: readonly EvacuationView[];
  /** Whether the first answer has come. */
  readonly isKnown: boolean;
}

export const NO_FLEET_KNOWN: FleetState = {
  link: 'connecting',
  problem: null,
  controller: null,
  hosts: [],
  vms: [],
  migrations: [],
  evacuations: [],
  isKnown: false,
};

type HostEventBody = Extract<FleetEvent, { kind: 'hostEvent' }>['event'];

export function applyFleetEvent(state: FleetState, event: FleetEvent): FleetState | null {
  switch (event.kind) {
    case 'eventsMissed':
      return null;
    case 'controllerChanged':
      return { ...state, controller: event.controller };
    case 'fleetHostChanged': {
      const { host, vms } = event;
      const others = state.vms.filter((vm) => vm.host !== host.name);
      const hosts = [...state.hosts.filter(({ name }) => name !== host.name), host].sort(byName);
      return { ...state, hosts, vms: [...others, ...vms].sort(byName) };
    }
    case 'fleetHostForgotten': {
      const isOther = ({ host }: { readonly host: string }): boolean => host !== event.host;
      const hosts = state.hosts.filter(({ name }) => name !== event.host);
      return { ...state, hosts, vms: state.vms.filter(isOther), migrations: state.migrations.filter(isOther) };
    }
    case 'evacuationChanged': {
      const others = state.evacuations.filter(({ id }) => id !== event.evacuation.id);
      const evacuations = [event.evacuation, ...others].sort((a, b) => b.requestedAtMs - a.requestedAtMs);
      return { ...state, evacuations };
    }
    case 'hostEvent':
      return { ...state, migrations: applyHostEvent(state.migrations, event.host, event.event) };
    case 'balanced':
      return state;
  }
}

function applyHostEvent(
  migrations: readonly LiveMigrationView[],
  host: string,
  event: HostEventBody,
): readonly LiveMigrationView[] {
  const change = (id: string, changes: Partial<MigrationView>): readonly LiveMigrationView[] =>
    migrations.map((each) =>
      each.host === host && each.migration.id === id ? { host, migration: { ...each.migration, ...changes } } : each,
    );
  switch (event.kind) {
    case 'migrationStarted':
    case 'migrationTuned':
    case 'migrationEnded': {
      const { migration } = event;
      const others = migrations.filter((each) => each.host !== host || each.migration.id !== migration.id);
      // Its source tells of it; the destination would tell of it once more.
      const isShown = migration.state === 'running' && migration.direction === 'outgoing';
      return isShown ? [...others, { host, migration }] : others;
    }
    case 'migrationPhaseChanged':
      return change(event.migrationId, { phase: event.phase });
    case 'migrationProgressed':
      return change(event.migrationId, { progress: event.progress, phase: event.progress.phase });
    default:
      return migrations;
  }
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name.localeCompare(b.name, 'en', { numeric: true });
}
