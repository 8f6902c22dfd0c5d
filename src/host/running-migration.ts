/**
 * A migration that runs, as the API shows it, kept up to date by what the engine tells.
 *
 * Owns: its view. Must hold: every change is told to the event stream and counted; a bounded number of notes is kept.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { EventHub } from '../api/event-hub.ts';
import type { MigrationView } from '../api/migration-schema.ts';
import type { VmView } from '../api/vm-schema.ts';
import { GodwitError } from '../base/errors.ts';
import type { MigrationHandle } from '../migration/handle.ts';
import type { DestinationPhase, MigrationEvent } from '../migration/progress.ts';
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
const ARRIVAL_PATIENCE_MS = 5000;
const ARRIVING_PHASES: ReadonlySet<string> = new Set<DestinationPhase>(['loaded', 'resuming', 'pagingIn', 'done']);

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
    case 'qemuStarted':
      return; // who admitted the VM listens itself
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

/**
 * Waits a moment for such a step of the migration that has brought the VM here. The source tells the end before this host has tidied up: who
 * then does something with the VM should not be refused.
 */
export async function incomingOf(
  vm: string,
  running: Iterable<RunningMigration>,
  registry: { find(name: string): { readonly migration: string | null } | undefined },
  step: (migration: RunningMigration) => Promise<unknown>,
): Promise<void> {
  for (const migration of running) {
    const { handle, view } = migration;
    if (handle.vm !== vm || handle.direction !== 'incoming') continue;
    // One that a restart recovered has the VM before it has told its phase.
    const isHere = ARRIVING_PHASES.has(view.phase ?? '') || registry.find(vm)?.migration === handle.id;
    if (isHere) await Promise.race([step(migration), sleep(ARRIVAL_PATIENCE_MS, undefined, { ref: false })]);
  }
}

/** Before anybody hears of a request that cannot be met. @throws GW_MIGRATION_BUSY while a migration takes the VM away */
export function refuseLeaving({ name: vm, state, migration }: VmView): void {
  if (state === 'leaving' && migration !== null) throw new GodwitError('GW_MIGRATION_BUSY', { vm, id: migration });
}
