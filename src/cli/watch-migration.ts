/**
 * Watches one migration to its end.
 *
 * Must hold: a cut connection to the host is no end: it is watched again; the first Ctrl-C cancels the migration, the
 * second leaves it to itself.
 */
import type { HostEvent } from '../api/event-schema.ts';
import type { MigrationView } from '../api/migration-schema.ts';
import { ERRORS, type ErrorCode, explain, GodwitError, hasCode } from '../base/errors.ts';
import type { GodwitClient } from '../client/godwit-client.ts';
import type { MigrationProgress } from '../migration/progress.ts';
import type { ExitStatus } from './command-context.ts';
import type { Io } from './io.ts';
import { openDisplay, type ProgressDisplay } from './live-view.ts';

const RETRIES = 20;
const RETRY_MS = 500;

export interface WatchOptions {
  /** What the first Ctrl-C does: cancel the migration, or only stop watching. */
  readonly interrupt: 'cancel' | 'leave';
}

/** The migration when it has ended. Throws GW_USAGE-free GodwitErrors; GW_WATCH_STOPPED when it was left by Ctrl-C. */
export async function watchMigration(
  client: GodwitClient,
  id: string,
  io: Io,
  options: WatchOptions,
): Promise<MigrationView> {
  const display = openDisplay(io, () => performance.now());
  const left = new AbortController();
  let interrupts = 0;
  const forget = io.onInterrupt(() => {
    interrupts++;
    if (options.interrupt === 'leave' || interrupts > 1) {
      left.abort();
      return;
    }
    display.noted('info', 'cancelling (Ctrl-C again: leave it running) …');
    client.cancelMigration(id).catch((error: unknown) => {
      if (!left.signal.aborted) display.noted('warn', explain(error));
    });
  });
  try {
    for (let failures = 0; ; failures++) {
      try {
        const ended = await watchOnce(client, id, display, left.signal);
        if (ended) return ended;
      } catch (error) {
        if (!hasCode(error, 'GW_API_UNREACHABLE')) throw error;
        if (failures >= RETRIES) throw unwatched(client.url, explain(error), id);
      }
      if (left.signal.aborted) {
        throw new GodwitError('GW_WATCH_STOPPED', { id });
      }
      if (failures >= RETRIES) throw unwatched(client.url, 'the connection was closed', id);
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  } finally {
    forget();
  }
}

/** How a migration's end is told to the shell. */
export function exitStatusOf(migration: MigrationView): ExitStatus {
  const { report } = migration;
  switch (report?.outcome) {
    case 'completed':
      return 0;
    case 'cancelled':
      return 130;
    case 'refused':
      return 3;
    default: {
      const code = report?.error?.code;
      return code !== undefined && Object.hasOwn(ERRORS, code) ? ERRORS[code as ErrorCode].exitStatus : 1;
    }
  }
}

function unwatched(url: string, reason: string, id: string): GodwitError {
  const fix = `the VM goes on; once a host daemon runs there: godwit migration watch ${id}`;
  return new GodwitError('GW_API_UNREACHABLE', { url, reason, fix });
}

async function watchOnce(
  client: GodwitClient,
  id: string,
  display: ProgressDisplay,
  signal: AbortSignal,
): Promise<MigrationView | undefined> {
  for await (const event of client.watchMigration(id, { signal })) {
    show(event, display);
    if (event.kind === 'migrationEnded') return event.migration;
  }
  return undefined;
}

function show(event: HostEvent, display: ProgressDisplay): void {
  switch (event.kind) {
    case 'migrationStarted':
      display.started(event.migration);
      if (event.migration.progress) display.progressed(event.migration.progress as MigrationProgress);
      return;
    case 'migrationProgressed':
      display.progressed(event.progress as MigrationProgress);
      return;
    case 'migrationNoted':
      display.noted(event.level, event.text);
      return;
    case 'migrationEnded':
      display.started(event.migration);
      display.ended(event.migration);
      return;
    default:
      return;
  }
}
