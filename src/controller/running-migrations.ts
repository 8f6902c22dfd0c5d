/**
 * The migrations that run in a fleet, each as its source tells it.
 *
 * Must hold: a host that refuses to tell them is told of with the reason; one that falls silent just then is not, since the next look does.
 */
import type { LiveMigrationView } from '../api/fleet-schema.ts';
import type { MigrationView } from '../api/migration-schema.ts';
import { explain, hasCode } from '../base/errors.ts';
import type { FleetHosts } from './fleet-hosts.ts';
import type { Answer } from './fleet-picture.ts';

export interface RunningMigrations {
  readonly running: LiveMigrationView[];
  /** By host, why it does not tell. */
  readonly refusals: ReadonlyMap<string, string>;
}

export async function runningMigrations(
  hosts: Pick<FleetHosts, 'migrationsOf'>,
  answers: readonly Answer[],
): Promise<RunningMigrations> {
  const up = answers.flatMap((answer) => ('outlook' in answer ? [answer] : []));
  const busy = up.filter(({ outlook }) => outlook.vms.some(({ migration }) => migration !== null));
  const refusals = new Map<string, string>();
  const running = await Promise.all(
    busy.map(async ({ name: host }) => {
      const all = await hosts.migrationsOf(host).catch((error: unknown): MigrationView[] => {
        if (!hasCode(error, 'GW_API_UNREACHABLE')) refusals.set(host, explain(error));
        return [];
      });
      return all
        .filter(({ direction, state }) => direction === 'outgoing' && state === 'running')
        .map((migration) => ({ host, migration }));
    }),
  );
  return { running: running.flat(), refusals };
}
