/**
 * What the page knows of a host, and how each event changes it.
 *
 * Owns: the state's shape and `applyEvent`. Pure. Must hold: an event that is told twice, or after a newer answer was loaded,
 * changes nothing for good: each carries the whole new state of what it is about.
 */
import type { HostEvent } from '../../src/api/event-schema.ts';
import type { GroupMigrationView } from '../../src/api/group-migration-schema.ts';
import type { GroupView } from '../../src/api/group-schema.ts';
import type { HostView } from '../../src/api/host-schema.ts';
import type { MigrationView } from '../../src/api/migration-schema.ts';
import type { VmView } from '../../src/api/vm-schema.ts';
import { addSample, type LiveSample } from './live-samples.ts';
import type { LinkedState } from './live-store.ts';

export interface HostState extends LinkedState {
  readonly host: HostView | null;
  readonly vms: readonly VmView[];
  /** Newest first. */
  readonly migrations: readonly MigrationView[];
  readonly groups: readonly GroupView[];
  readonly groupMigrations: readonly GroupMigrationView[];
  /** Progress of each migration, as far as this page has watched it. */
  readonly samples: ReadonlyMap<string, readonly LiveSample[]>;
}

export const NOTHING_KNOWN: HostState = {
  link: 'connecting',
  problem: null,
  host: null,
  vms: [],
  migrations: [],
  groups: [],
  groupMigrations: [],
  samples: new Map(),
};

/** What happened, or null where only loading everything anew tells. */
export function applyEvent(state: HostState, event: HostEvent): HostState | null {
  switch (event.kind) {
    case 'eventsMissed':
      return null;
    case 'hostChanged':
      return { ...state, host: event.host };
    case 'vmChanged':
      return { ...state, vms: byName(replace(state.vms, event.vm, ({ name }) => name)) };
    case 'vmRemoved':
      return { ...state, vms: state.vms.filter(({ name }) => name !== event.name) };
    case 'migrationStarted':
    case 'migrationTuned':
    case 'migrationEnded':
      return { ...state, migrations: newestFirst(replace(state.migrations, event.migration, ({ id }) => id)) };
    case 'migrationPhaseChanged':
      return changeMigration(state, event.migrationId, () => ({ phase: event.phase }));
    case 'migrationNoted': {
      const { level, text } = event;
      return changeMigration(state, event.migrationId, ({ notes }) => ({ notes: [...notes, { level, text }] }));
    }
    case 'migrationProgressed': {
      const { migrationId, progress, atMs } = event;
      const samples = new Map(state.samples);
      samples.set(migrationId, addSample(samples.get(migrationId) ?? [], progress, atMs));
      return changeMigration({ ...state, samples }, migrationId, () => ({ progress, phase: progress.phase }));
    }
    case 'groupMigrationChanged':
      return { ...state, groupMigrations: replace(state.groupMigrations, event.groupMigration, ({ id }) => id) };
  }
}

export function isRunning(migration: MigrationView): boolean {
  return migration.state === 'running';
}

function changeMigration(
  state: HostState,
  id: string,
  change: (migration: MigrationView) => Partial<MigrationView>,
): HostState {
  const migrations = state.migrations.map((migration) =>
    migration.id === id && isRunning(migration) ? { ...migration, ...change(migration) } : migration,
  );
  return { ...state, migrations };
}

/** In its place, or in front. */
function replace<T>(items: readonly T[], item: T, keyOf: (item: T) => string): T[] {
  const key = keyOf(item);
  const found = items.some((other) => keyOf(other) === key);
  return found ? items.map((other) => (keyOf(other) === key ? item : other)) : [item, ...items];
}

function byName(vms: readonly VmView[]): VmView[] {
  return [...vms].sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }));
}

function newestFirst(migrations: readonly MigrationView[]): MigrationView[] {
  return [...migrations].sort((a, b) => b.startedAtMs - a.startedAtMs);
}
