/**
 * A migration that runs, as the API shows it, kept up to date by what the engine tells.
 *
 * Owns: its view. Must hold: every change is told to the event stream and counted; a bounded number of notes is kept.
 */
import type { EventHub } from '../api/event-hub.ts';
import type { MigrationView } from '../api/migration-schema.ts';
import type { MigrationHandle } from '../migration/handle.ts';
import type { MigrationEvent } from '../migration/progress.ts';
import type { Logger } from './logger.ts';
import type { HostMetrics } from './metrics.ts';

export interface RunningMigration {
  readonly handle: MigrationHandle;
  view: MigrationView;
  /** Resolves when the VM is where the migration says. */
  readonly settled: Promise<unknown>;
  /** Resolves when it has ended and everything about it is stored and told. */
  readonly finished: Promise<MigrationView>;
}

export interface Listeners {
  readonly events: EventHub;
  readonly metrics: HostMetrics;
  readonly log: Logger;
}

const MAX_NOTES = 100;

export function takeEvent(running: RunningMigration, event: MigrationEvent, listeners: Listeners): void {
  const { events, metrics, log } = listeners;
  const { id, vm, direction } = running.handle;
  switch (event.kind) {
    case 'phaseChanged':
      running.view = { ...running.view, phase: event.phase };
      metrics.phaseChanged(id, direction, event.phase, event.atMs - running.view.startedAtMs);
      events.emit({ kind: 'migrationPhaseChanged', migrationId: id, vm, phase: event.phase });
      return;
    case 'progressed':
      running.view = { ...running.view, phase: event.progress.phase, progress: event.progress };
      metrics.progressed(id, vm, direction, event.progress);
      events.emit({ kind: 'migrationProgressed', migrationId: id, vm, progress: event.progress });
      return;
    case 'noted': {
      const note = { level: event.level, text: event.text };
      running.view = { ...running.view, notes: [...running.view.notes, note].slice(-MAX_NOTES) };
      log[event.level]({ migration: id, vm }, event.text);
      events.emit({ kind: 'migrationNoted', migrationId: id, vm, ...note });
      return;
    }
    case 'guestStands':
    case 'regionsWatched':
      return; // the group's migration listens itself
    case 'ended':
      return; // told when the VM is settled
  }
}

/** Whether the VM is this host's: at once, unless a migration that leaves has it and is not settled. */
export async function hasStayed(vm: string, running: Iterable<RunningMigration>): Promise<boolean> {
  const leaving = [...running].filter(
    ({ handle }) => handle.vm === vm && handle.direction === 'outgoing' && handle.hasVm,
  );
  const settled = await Promise.all(leaving.map(({ handle }) => handle.vmSettled));
  return !settled.some(({ kind }) => kind === 'left');
}
