/**
 * Registering with the controllers of a fleet: its settings, and beginning it.
 *
 * Must hold: a wrong value is refused with field, value and fix, before anything is opened; the client of NATS is loaded by hosts that
 * register only.
 */
import { type ListenAddress, parseHostPort } from '../api/listen.ts';
import { GodwitError } from '../base/errors.ts';
import { type NatsAccess, readNatsAccess } from '../nats/nats-access.ts';
import type { HostConfig } from './config.ts';
import type { HostSettings } from './config-schema.ts';
import type { FleetBeacon } from './fleet-beacon.ts';
import type { Logger } from './logger.ts';

export interface RegistrationConfig {
  readonly nats: NatsAccess;
  /** Where controllers reach the API; null: at its first address that is no unix socket. */
  readonly api: string | null;
  /** Where other hosts reach the migration port; null: where it listens. */
  readonly migration: string | null;
}

export interface HostAddresses {
  /** All of the API, with their real ports. */
  readonly apis: readonly string[];
  readonly migration: string;
}

const FIELDS = {
  servers: 'fleetNats',
  credentialsFile: 'fleetNatsCredentials',
  tokenFile: 'fleetNatsTokenFile',
  prefix: 'fleetPrefix',
};
/** They mean any address of this machine, and nothing to another one. */
const EVERYWHERE: readonly string[] = ['0.0.0.0', '::'];

/** null: the host does not register. @throws GW_INPUT_INVALID, GW_INPUT_UNREADABLE */
export function resolveRegistration(
  settings: HostSettings,
  host: { readonly name: string; readonly listen: readonly ListenAddress[]; readonly migration: { host: string } },
): RegistrationConfig | null {
  const { fleetNats: servers, fleetApi, fleetMigration } = settings;
  if (servers === undefined) {
    const idle = ([...Object.values(FIELDS), 'fleetApi', 'fleetMigration'] as (keyof HostSettings)[]).find(
      (field) => settings[field] !== undefined,
    );
    if (idle)
      throw invalid(idle, String(settings[idle]), 'add fleetNats, the servers of NATS where the host registers');
    return null;
  }
  if (settings.fleetKeyFile === undefined) {
    const fix = 'add fleetKeyFile, the secret of the fleet: controllers believe no host without it';
    throw invalid('fleetNats', servers.join(', '), fix);
  }
  // It is part of subjects and of a key.
  if (host.name.endsWith('.') || host.name.includes('..'))
    throw invalid('name', host.name, 'give a name without a dot at its end, or two together, where the host registers');
  const first = host.listen.find(({ kind }) => kind === 'tcp');
  if (fleetApi === undefined && (first?.kind !== 'tcp' || EVERYWHERE.includes(first.host)))
    throw invalid('fleetApi', '', 'give the address at which controllers reach this API, such as http://10.0.0.2:7700');
  if (fleetMigration === undefined && EVERYWHERE.includes(host.migration.host)) {
    const fix = 'give the address at which other hosts reach the migration port, such as 10.0.0.2:7710';
    throw invalid('fleetMigration', '', fix);
  }
  if (fleetMigration !== undefined) parseHostPort(fleetMigration, 'fleetMigration');
  const { fleetNatsCredentials: credentialsFile, fleetNatsTokenFile: tokenFile, fleetPrefix: prefix } = settings;
  return {
    nats: readNatsAccess({ servers, credentialsFile, tokenFile, prefix }, FIELDS),
    api: fleetApi ?? null,
    migration: fleetMigration ?? null,
  };
}

/** null: the host does not register. */
export async function openRegistration(
  { name, fleetKey, registration }: HostConfig,
  { apis, migration }: HostAddresses,
  parts: { readonly version: string; readonly sinceMs: number; readonly log: Logger },
): Promise<FleetBeacon | null> {
  if (registration === null || fleetKey === null) return null;
  const { version, sinceMs, log } = parts;
  const { FleetBeacon } = await import('./fleet-beacon.ts');
  return new FleetBeacon({
    nats: registration.nats,
    fleetKey,
    host: {
      name,
      api: registration.api ?? apis.find((url) => !url.startsWith('unix:'))!,
      migration: registration.migration ?? migration,
      version,
      sinceMs,
    },
    changed: ({ state, reason }) => {
      if (reason === null) log.info({ state }, 'registered with the fleet');
      else log.warn({ state, reason }, 'not registered with the fleet');
    },
  });
}

function invalid(field: string, value: string, fix: string): GodwitError {
  return new GodwitError('GW_INPUT_INVALID', { field, value, fix });
}
