/**
 * The port at which other hosts reach this one, opened.
 *
 * Must hold: where it cannot be had, that is told with the address and why.
 */
import { formatHostPort } from '../api/listen.ts';
import { GodwitError } from '../base/errors.ts';
import type { HostTraffic, MigrationListener } from '../migration/handle.ts';
import type { HostConfig } from './config.ts';
import type { Engine } from './engine-port.ts';
import type { Migrations } from './migrations.ts';

/** @throws GW_HOST_START */
export async function openMigrationPort(
  engine: Engine,
  config: HostConfig,
  traffic: HostTraffic,
  migrations: Migrations,
): Promise<MigrationListener> {
  try {
    const { migration, keepsSpareThreads } = config;
    return await engine.listenForMigrations({ ...migration, traffic, keepsSpareThreads, policy: migrations.policy });
  } catch (error) {
    if (error instanceof GodwitError) throw error;
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    const why = code === 'EADDRINUSE' ? 'it is in use by another process' : code;
    const where = formatHostPort(config.migration.host, config.migration.port);
    throw new GodwitError('GW_HOST_START', { reason: `cannot listen on ${where}: ${why}` }, { cause: error });
  }
}
