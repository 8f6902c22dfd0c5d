/**
 * A migration, followed to its end by what its source host tells.
 *
 * Must hold: how far it is is told from its present state on, so that whoever goes on with an evacuation hears it, too.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { HostEvent } from '../api/event-schema.ts';
import type { MigrationView } from '../api/migration-schema.ts';
import type { GodwitClient } from '../client/godwit-client.ts';
import type { MigrationStage } from './evacuation-port.ts';
import { AGAIN_AFTER_MS } from './host-patience.ts';

/** In which the VM is the source's and runs. */
const BEFORE_STOP: readonly string[] = ['preparing', 'copying'];

/** undefined: its host fell silent. */
export async function endOf(
  client: Pick<GodwitClient, 'watchMigration'>,
  id: string,
  signal: AbortSignal,
  heard: (stage: MigrationStage) => void = () => undefined,
): Promise<MigrationView | undefined> {
  for await (const event of client.watchMigration(id, { signal })) {
    if (event.kind === 'migrationEnded') return event.migration;
    const stage = stageOf(event);
    if (stage !== null) heard(stage);
  }
  await delay(AGAIN_AFTER_MS, undefined, { signal });
  return undefined;
}

/** null: the event says nothing of it. */
export function stageOf(event: HostEvent): MigrationStage | null {
  const progress =
    event.kind === 'migrationProgressed'
      ? event.progress
      : event.kind === 'migrationStarted'
        ? event.migration.progress
        : null;
  if (progress === null) return null;
  if (!BEFORE_STOP.includes(progress.phase)) return 'leaving';
  return progress.isReady ? 'ready' : 'copying';
}
