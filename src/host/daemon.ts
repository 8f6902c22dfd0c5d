/**
 * The host daemon: everything put together.
 *
 * Owns: the order of starting (lock, records, recovery, migration port, API) and of stopping. Must hold: a daemon that
 * cannot start leaves nothing open and says why; one that stops leaves every VM running.
 */
import { join } from 'node:path';
import { EventHub } from '../api/event-hub.ts';
import type { HostView } from '../api/host-schema.ts';
import { formatHostPort } from '../api/listen.ts';
import { buildApiServer } from '../api/server.ts';
import type { VmState } from '../api/vm-schema.ts';
import { SYSTEM_CLOCK } from '../base/clock.ts';
import { ContentScanner, type ScannerOrder } from '../migration/content-scanner.ts';
import type { HostTraffic } from '../migration/handle.ts';
import { VisitStore } from '../migration/visit-store.ts';
import { startRegionDestination, startRegionSource } from '../sharing/region-threads.ts';
import { HostBudget } from '../transfer/host-budget.ts';
import { SentContents } from '../transfer/sent-contents.ts';
import { Aftermath } from './aftermath.ts';
import { AuditLog } from './audit-log.ts';
import type { ComingRegionView } from './coming-records.ts';
import { Commonality } from './commonality.ts';
import type { HostConfig } from './config.ts';
import { DirtySampling } from './dirty-sampling.ts';
import type { Engine } from './engine-port.ts';
import { GroupMigrations } from './group-migrations.ts';
import { GroupReports } from './group-reports.ts';
import { Hooks } from './hooks.ts';
import { HostPressure } from './host-pressure.ts';
import { DaemonService } from './host-service.ts';
import { openHostTls } from './host-tls.ts';
import { IdleMemory } from './idle-memory.ts';
import { IncomingGroups } from './incoming-groups.ts';
import { IncomingPromises } from './incoming-promises.ts';
import { KnownOrders } from './known-orders.ts';
import type { Logger } from './logger.ts';
import { HostMetrics } from './metrics.ts';
import { openMigrationPort } from './migration-port.ts';
import { MigrationStore } from './migration-store.ts';
import { Migrations } from './migrations.ts';
import { Outlook } from './outlook.ts';
import { Peers } from './peers.ts';
import { recoverUpgrades } from './recovered-upgrades.ts';
import { openRegistration } from './registration.ts';
import { ServedApi } from './served-api.ts';
import { prepareStateDirectory, tidyUp } from './state-directory.ts';
import { lockStateDirectory } from './state-lock.ts';
import { Upgrades } from './upgrades.ts';
import { VmRegistry } from './vm-registry.ts';

// A post-copy that has the VM already is waited for; QEMU serves its last pages in seconds.
const CLOSE_TIMEOUT_MS = 30_000;

export interface Daemon {
  readonly name: string;
  /** The API's addresses, the first is the one to tell people. */
  readonly api: readonly string[];
  /** HOST:PORT, with the real port. */
  readonly migration: string;
  /**
   * Cancels migrations, closes everything; the VMs run on. Returns of how many migrations the end is not known. Threads, also of
   * those that only owe another host a word, may run on and have the state directory until the process ends.
   */
  close(timeoutMs?: number): Promise<number>;
}

export async function startDaemon(
  config: HostConfig,
  parts: { readonly engine: Engine; readonly log: Logger; readonly version: string },
): Promise<Daemon> {
  const { engine, log, version } = parts;
  await using starting = new AsyncDisposableStack();
  prepareStateDirectory(config.stateDirectory);
  const lock = starting.use(lockStateDirectory(config.stateDirectory));
  const visitPolicy = { directory: join(config.stateDirectory, 'visits'), budgetBytes: config.keepVisitsBytes };
  const visits = new VisitStore(visitPolicy);
  const liveDirectory = join(config.stateDirectory, 'contents');
  const { fleetKey } = config;
  const contents = {
    visits: visitPolicy,
    liveDirectory,
    arrivedDirectory: join(config.stateDirectory, 'arrived'),
    fleetKey,
    sent: fleetKey === null ? null : SentContents.create(),
  };

  const startedAtMs = Date.now();
  let beacon: Awaited<ReturnType<typeof openRegistration>> = null;
  const served = new ServedApi(config, log);
  const events = new EventHub(SYSTEM_CLOCK);
  const promises = new IncomingPromises(SYSTEM_CLOCK);
  const store = new MigrationStore(config.stateDirectory, config.keepReports);
  const registry = new VmRegistry({
    hostName: config.name,
    stateDirectory: config.stateDirectory,
    fleetKey,
    promises,
    log,
    changed: (vm) => events.emit({ kind: 'vmChanged', vm }),
    removed: (name, reason) => events.emit({ kind: 'vmRemoved', name, reason }),
    absenceOf: (name) => store.absenceOf(name, config.name),
  });
  starting.defer(() => registry.dispose());
  const metrics = new HostMetrics(version, config.name, () => countStates(registry));
  const audit = starting.use(new AuditLog(config.auditLog, log, metrics));
  metrics.limited(config.bandwidthBytesPerSecond);
  for (const path of store.load()) log.error({ path }, 'cannot read a migration report; left as it is');
  const budget = HostBudget.create(config.bandwidthBytesPerSecond);
  const tls = openHostTls(config, log);
  if (tls) starting.use(tls);
  const traffic: HostTraffic = { budget: budget.buffer, dscp: config.dscp, tls: tls?.port ?? null };
  const { name: hostName, stateDirectory, allowedNetworkScripts } = config;
  const peers = new Peers(config.peers);
  const groups = new IncomingGroups({ hostName, stateDirectory, registry, log, startRegion: startRegionDestination });
  const { sampleEveryMs: everyMs, keepHistoryMs: keepMs } = config;
  const sampling = new DirtySampling({ stateDirectory, everyMs, keepMs, log, vms: () => registry.living() });
  starting.use(sampling);
  const pressure = starting.use(new HostPressure(() => registry.living()));
  const hooks = new Hooks(config, log);
  const aftermath = starting.use(new Aftermath({ registry, store, hooks, log }));
  const orders = new KnownOrders(config.stateDirectory, log);
  const migrations = new Migrations({
    hostName,
    stateDirectory,
    peers,
    maxIncomingMigrations: config.maxIncomingMigrations,
    ...{ allowedNetworkScripts: config.allowedNetworkScripts, images: config.images },
    contents,
    engine,
    traffic,
    registry,
    promises,
    groups,
    store,
    orders,
    events,
    aftermath,
    metrics,
    log,
    release: (vm) => sampling.release(vm),
  });
  const reports = new GroupReports(stateDirectory, config.keepReports, log);
  const moving = { hostName, stateDirectory, peers, registry, migrations, traffic, events, log, reports, orders };
  const upgrades = new Upgrades({ ...moving, allowedNetworkScripts, metrics, sampling });
  const coming = (): ComingRegionView[] => groups.coming();
  const groupMigrations = new GroupMigrations({ ...moving, coming, startRegion: startRegionSource });
  // The threads of what is left have the directory and QEMUs to the process's end; another daemon must not have them meanwhile.
  const openCount = (): number => migrations.openCount + groupMigrations.openCount + groups.openCount;
  starting.defer(() => {
    if (openCount() > 0) lock.keep();
  });
  registry.regions.hold([...groupMigrations.heldRegions, ...groups.heldRegions]);
  registry.restore(await recoverUpgrades(stateDirectory, log));
  groupMigrations.resume();
  groups.resume();
  tidyUp(visits, registry, log);
  const taken = await migrations.recover();
  groupMigrations.recovered();
  await registry.attachAll(taken);
  if (fleetKey !== null) {
    const input = { directory: liveDirectory, key: fleetKey };
    const warn = (reason: string): void => log.warn({ reason }, 'cannot look through the memory of a VM');
    starting.use(new ContentScanner(input, () => scannedVms(registry), warn));
  }
  const port = await openMigrationPort(engine, config, traffic, migrations);
  starting.defer(() => port.close());
  const migration = formatHostPort(config.migration.host, port.port);
  peers.isAt(migration);

  const looking = { hostName, contentsDirectory: liveDirectory, looksThrough: fleetKey !== null };
  const outlook = new Outlook({
    ...looking,
    stateDirectory,
    sampling,
    pressure,
    vms: () => registry.living(),
    arrivingPids: () => registry.arriving.pids(),
    migrations: () => migrations.running,
    migrationAddress: () => migration,
    bandwidthBytesPerSecond: () => budget.bytesPerSecond,
  });
  const service = new DaemonService({
    commonality: new Commonality({ ...looking, vms: () => registry.living() }),
    events,
    registry,
    visits,
    migrations,
    ...{ groupMigrations, upgrades, orders },
    incomingGroups: groups,
    sampling,
    outlook,
    metrics,
    budget,
    log,
    host: (): HostView => ({
      name: config.name,
      version,
      pid: process.pid,
      startedAtMs,
      stateDirectory: config.stateDirectory,
      api: [...served.urls],
      migration,
      peers: { ...config.peers },
      bandwidthBytesPerSecond: budget.bytesPerSecond,
      dscp: config.dscp,
      tls: tls ? { ...tls.certificate, names: [...tls.certificate.names] } : null,
      registration: beacon?.view ?? null,
      vms: registry.list().length,
      runningMigrations: migrations.runningCount,
    }),
  });
  starting.use(served);
  await served.open(await buildApiServer({ service, version, access: served.access, audit, logger: log }));
  const addresses = { apis: served.urls, migration };
  beacon = starting.use(await openRegistration(config, addresses, { version, sinceMs: startedAtMs, log }));
  starting.use(new IdleMemory(() => openCount() === 0));
  log.info({ api: served.urls, migration, vms: registry.list().length }, 'ready');

  const running = starting.move();
  let closing: Promise<number> | undefined;
  return {
    name: config.name,
    api: served.urls,
    migration,
    close: (timeoutMs = CLOSE_TIMEOUT_MS) =>
      (closing ??= (async () => {
        // The API stays open meanwhile, so that one can see what is waited for.
        await upgrades[Symbol.asyncDispose]();
        await Promise.all([groupMigrations.close(timeoutMs), groups.close(timeoutMs)]);
        const left = await migrations.close(timeoutMs);
        await Promise.all([groupMigrations.abandon(), groups.abandon()]);
        await running.disposeAsync();
        return left;
      })()),
  };
}

function countStates(registry: VmRegistry): Partial<Record<VmState, number>> {
  const counts: Partial<Record<VmState, number>> = {};
  for (const vm of registry.list()) counts[vm.state] = (counts[vm.state] ?? 0) + 1;
  return counts;
}

function scannedVms(registry: VmRegistry): ScannerOrder['vms'] {
  return registry.living().map(({ record: { pid, startTicks }, migration }) => {
    return { pid, startTicks, isMoving: migration !== null };
  });
}
