/**
 * The controller: everything put together, until it is told to stop.
 *
 * Owns: the order of starting (lock, store, leadership, API) and of stopping. Must hold: one that cannot start leaves nothing open and
 * says why; one that stops leaves what it carried out to the next, at once.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ControllerView } from '../api/fleet-schema.ts';
import { buildFleetApiServer } from '../api/server.ts';
import { SYSTEM_CLOCK } from '../base/clock.ts';
import { GodwitError } from '../base/errors.ts';
import { type AuditCounts, AuditLog } from '../host/audit-log.ts';
import { type Logger, openLogger } from '../host/logger.ts';
import { ServedApi } from '../host/served-api.ts';
import { lockStateDirectory } from '../host/state-lock.ts';
import { SigningKey } from '../nats/signed-words.ts';
import type { ControllerConfig } from './controller-config.ts';
import { Fleet } from './fleet.ts';
import { FleetRounds } from './fleet-rounds.ts';
import { Leadership } from './leadership.ts';
import { NatsStore } from './nats-store.ts';
import { RegisteredHosts } from './registered-hosts.ts';
import { SqliteStore } from './sqlite-store.ts';
import type { FleetStore } from './store.ts';

export interface ControllerFacts {
  readonly name: string;
  /** The first address of the API. */
  readonly api: string;
  readonly apis: readonly string[];
  readonly store: 'sqlite' | 'nats';
  readonly pid: number;
}

export interface RunControllerOptions {
  readonly config: ControllerConfig;
  readonly version: string;
  readonly logLevel: string;
  readonly logFormat: 'pretty' | 'json';
  ready(facts: ControllerFacts): void;
  onStopSignal(listener: () => void): () => void;
}

/** A controller has no metrics: its log says so. */
const NOT_COUNTED: AuditCounts = { requestRefused: () => undefined, auditUnwritten: () => undefined };

/** Throws when it cannot start. */
export async function runController(options: RunControllerOptions): Promise<void> {
  const { config, version, logLevel: level, logFormat: format } = options;
  const { name } = config;
  const log = openLogger({ level, format, name });
  const stopped = Promise.withResolvers<void>();
  // From before the start, so that a signal during it is not lost.
  const forget = options.onStopSignal(() => stopped.resolve());
  await using running = new AsyncDisposableStack();
  prepareState(config.stateDirectory);
  running.use(lockStateDirectory(config.stateDirectory));
  const served = new ServedApi(config, log);
  const audit = running.use(new AuditLog(config.auditLog, log, NOT_COUNTED));
  const store = running.use(await openStore(config));
  // Before it leads: what it takes up names hosts.
  const registered = await openRegistered(config, store, log);
  if (registered) running.use(registered);
  const startedAtMs = Date.now();
  const view = (): ControllerView => ({
    name,
    version,
    store: store.kind,
    storeFailure: leadership.failure,
    leads: leadership.leads,
    leader: leadership.leader,
    startedAtMs,
  });
  const leadership = running.use(
    new Leadership({
      store,
      name,
      clock: SYSTEM_CLOCK,
      changed: () => {
        log.info(
          { leads: leadership.leads, leader: leadership.leader, store: leadership.failure ?? 'answers' },
          'leadership',
        );
        fleet.events.emit({ kind: 'controllerChanged', controller: view() });
        void fleet.evacuations.take();
      },
    }),
  );
  const fleet: Fleet = running.use(
    new Fleet({
      file: config.file,
      store,
      ...(registered ? { registered } : {}),
      name,
      controller: view,
      leads: () => leadership.leads,
      orders: () => leadership.orders,
      raise: (atLeast) => leadership.raise(atLeast),
      failed: (what, reason) => log.error({ what, reason }, 'an evacuation could not be carried out'),
    }),
  );
  await leadership.start();
  running.use(new FleetRounds({ fleet, leads: () => leadership.leads, told: (reason) => tell(log, reason) }));
  running.use(served);
  await served.open(await buildFleetApiServer({ service: fleet, version, access: served.access, audit, logger: log }));
  const apis = served.urls;
  log.info({ api: apis, store: store.kind, hosts: config.file.hosts.length, leads: leadership.leads }, 'ready');
  options.ready({ name, api: apis[0]!, apis, store: store.kind, pid: process.pid });
  await stopped.promise;
  forget();
  log.info('stopping; what runs, runs on');
}

/** null: hosts do not register. */
async function openRegistered(
  { file: { register, hosts } }: ControllerConfig,
  store: FleetStore,
  log: Logger,
): Promise<RegisteredHosts | null> {
  if (register === null || !(store instanceof NatsStore)) return null;
  const key = new SigningKey(register.fleetKey);
  const beats = store.heartbeats(key);
  const named = new Set(hosts.map(({ name }) => name));
  const told = (reason: string): void => log.warn({ reason }, 'a registration is not taken');
  return await RegisteredHosts.open({ store, beats, key, register, named, told });
}

async function openStore({ nats, stateDirectory }: ControllerConfig): Promise<FleetStore> {
  return nats === null ? new SqliteStore(join(stateDirectory, 'fleet.sqlite')) : await NatsStore.open(nats);
}

/** @throws GW_HOST_START */
function prepareState(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  } catch (cause) {
    const reason = `cannot use the state directory ${directory}: give another one by --state`;
    throw new GodwitError('GW_HOST_START', { reason }, { cause });
  }
}

function tell(log: Logger, reason: string | null): void {
  if (reason === null) log.info('the hosts are looked at again');
  else log.warn({ reason }, 'looking at the hosts went wrong');
}
