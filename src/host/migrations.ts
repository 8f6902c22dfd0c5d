/**
 * The migrations of this host, running and ended, in both directions.
 *
 * Owns: the tie between a migration and its VM: who has the VM when, and when both are settled.
 * Must hold: a settlement is applied before the end of its migration is told; every migration ends in a stored report.
 */
import type { EventHub } from '../api/event-hub.ts';
import type { MigrateBody, MigrationView, TuneBody } from '../api/migration-schema.ts';
import { explain, GodwitError } from '../base/errors.ts';
import type { CheckResult, HostTraffic, IncomingPolicy, MigrationHandle } from '../migration/handle.ts';
import type { MigrationCommand } from '../migration/progress.ts';
import type { MigrationReport } from '../migration/report.ts';
import type { GroupPart } from '../migration/shared-part.ts';
import type { Aftermath, Departure } from './aftermath.ts';
import type { Engine } from './engine-port.ts';
import { refuseMember } from './groups.ts';
import { letGo } from './held-migrations.ts';
import { createPolicy, type IncomingHost } from './incoming-policy.ts';
import type { KnownOrders } from './known-orders.ts';
import type { Logger } from './logger.ts';
import type { HostMetrics } from './metrics.ts';
import { completeId } from './migration-id.ts';
import type { MigrationStore } from './migration-store.ts';
import { definedOnly, mergeOptions, viewOfHandle, viewOfReport } from './migration-view.ts';
import { OpenMigrations } from './open-migrations.ts';
import type { Peers } from './peers.ts';
import { takeOver } from './recovered-migrations.ts';
import { hasStayed, incomingOf, type RunningMigration, refuseLeaving, takeEvent } from './running-migration.ts';
import { whenSettled } from './settlement.ts';
import type { Vm } from './vm.ts';

export interface MigrationsOptions extends IncomingHost {
  readonly peers: Peers;
  readonly engine: Engine;
  readonly traffic: HostTraffic;
  readonly store: MigrationStore;
  readonly orders: KnownOrders;
  readonly events: EventHub;
  readonly aftermath: Aftermath;
  readonly metrics: HostMetrics;
  readonly log: Logger;
  /** Somebody is about to take the VM: resolves when nobody else has its QEMU. */
  release(vm: string): Promise<void>;
}

export class Migrations {
  readonly #options: MigrationsOptions;
  readonly #running = new Map<string, RunningMigration>();
  readonly #open = new OpenMigrations();
  #isClosing = false;

  /** What the engine asks when another host offers a VM. */
  readonly policy: IncomingPolicy;

  constructor(options: MigrationsOptions) {
    this.#options = options;
    this.policy = createPolicy(options, {
      isRunning: (id) => this.#running.has(id),
      track: (handle) => this.track(handle),
      isClosing: () => this.#isClosing,
    });
  }

  get runningCount(): number {
    return this.#running.size;
  }
  get running(): MigrationView[] {
    return [...this.#running.values()].map(({ view }) => view);
  }
  /** Those that run and those whose threads go on when their end has been told. */
  get openCount(): number {
    return this.#open.count;
  }

  async start(name: string, body: MigrateBody): Promise<MigrationView> {
    return this.show((await this.begin(name, body)).id);
  }

  /** @param group - the VM moves with those that it shares memory with */
  async begin(vm: string, body: MigrateBody, group?: GroupPart): Promise<MigrationHandle> {
    const to = this.#options.peers.resolve(body.to);
    if (!this.#isClosing) refuseLeaving(this.#options.registry.get(vm).view());
    return await this.#options.aftermath.begin(vm, to, (departure) => this.#begin(departure, body, group));
  }

  async #begin({ id, vm: name, to, nics }: Departure, body: MigrateBody, group?: GroupPart): Promise<MigrationHandle> {
    const { engine, registry, store, orders, hostName, stateDirectory, contents, traffic } = this.#options;
    const vm = await this.#takeable(name);
    if (!group) refuseMember(registry.groups, vm, body.to);
    vm.takeLease(id, 'outgoing');
    try {
      const options = mergeOptions(body);
      const input = { id, vm: { ...vm.record, nics }, to, options, hostName, stateDirectory, contents, traffic };
      store.begin(input);
      orders.begun(`VM ${name}`, body, id);
      const handle = engine.startOutgoing(group ? { ...input, group } : input);
      this.track(handle);
      return handle;
    } catch (error) {
      void vm.endLease(id);
      store.forget(id);
      orders.undone(body);
      throw error;
    }
  }

  async check(name: string, peer: string, group?: GroupPart): Promise<CheckResult> {
    const { engine, peers, hostName, stateDirectory, traffic } = this.#options;
    const vm = await this.#takeable(name);
    vm.takeLease('check', 'check');
    try {
      const input = { vm: vm.record, to: peers.resolve(peer), hostName, stateDirectory, traffic };
      return await engine.checkMigration(group ? { ...input, group } : input);
    } finally {
      await vm.endLease('check');
    }
  }

  /** Goes on with, or cleans up after, what an earlier daemon had begun. Returns the names of VMs that migrations have. */
  async recover(): Promise<ReadonlySet<string>> {
    const { engine, stateDirectory, hostName, traffic } = this.#options;
    const found = await engine.recoverMigrations({ stateDirectory, hostName, traffic, policy: this.policy });
    return takeOver(this.#options, found, { track: (handle) => this.track(handle), open: this.#open });
  }

  track(handle: MigrationHandle): MigrationView {
    const { aftermath, events, metrics, log, registry } = this.#options;
    const view = viewOfHandle(handle);
    const settled = whenSettled(registry, handle, log);
    const known = this.#running.get(handle.id);
    if (known) {
      this.#open.cancel(handle, settled, log);
      return known.view;
    }
    const finished = this.#finish(handle, settled, () => running);
    const running: RunningMigration = { handle, view, settled, finished };
    this.#running.set(handle.id, running);
    this.#open.add(handle, running.finished);
    aftermath.follow(handle, running.finished);
    metrics.started(handle.id, handle.vm, handle.direction, view.startedAtMs);
    events.emit({ kind: 'migrationStarted', migration: view });
    const { id, vm, direction, peer } = handle;
    log.info({ migration: id, vm, direction, peer }, 'migration started');
    running.finished.catch((error: unknown) => log.error({ migration: id, reason: explain(error) }, 'not ended'));
    handle.onEvent((event) => takeEvent(running, event, this.#options));
    return view;
  }

  /** Running first, then ended; newest first. */
  list(limit: number): MigrationView[] {
    const running = this.running.reverse();
    const ended = this.#options.store.list().filter((report) => !this.#running.has(report.id));
    return [...running, ...ended.map((report) => viewOfReport(report, this.#options.hostName))].slice(0, limit);
  }

  show(given: string): MigrationView {
    const id = this.#idOf(given);
    const report = this.#options.store.get(id);
    if (this.#running.has(id)) return this.#running.get(id)!.view;
    if (report) return viewOfReport(report, this.#options.hostName);
    throw new GodwitError('GW_NOT_FOUND', { kind: 'migration', name: id });
  }
  async wait(given: string): Promise<MigrationView> {
    return (await this.#running.get(this.#idOf(given))?.finished) ?? this.show(given);
  }
  async cancel(id: string): Promise<MigrationView> {
    return this.#command(id, { kind: 'cancel' });
  }
  async switchToPostCopy(id: string): Promise<MigrationView> {
    return this.#command(id, { kind: 'switchPostCopy' });
  }
  /** @throws GW_NOT_FOUND, GW_CONFLICT */
  async letGo(given: readonly string[]): Promise<MigrationView[]> {
    return await letGo(given, { show: (id) => this.show(id), runningOf: (id) => this.#running.get(id) });
  }
  async tune(given: string, body: TuneBody): Promise<MigrationView> {
    const id = this.#idOf(given);
    const values = definedOnly(body);
    await this.#command(id, { kind: 'tune', ...values });
    const running = this.#running.get(id);
    if (!running) return this.show(id);
    running.view = { ...running.view, options: { ...(running.view.options ?? running.handle.options), ...values } };
    this.#options.events.emit({ kind: 'migrationTuned', migration: running.view });
    return running.view;
  }

  /** Begins nothing more and cancels what it can; the rest has `timeoutMs`. Returns of how many the end is not known then. */
  async close(timeoutMs: number): Promise<number> {
    this.#isClosing = true;
    return await this.#open.endAll(timeoutMs, this.#options.log);
  }

  /** @param last - the last migration of the VM that is known to whoever asks */
  async hasStayed(vm: string, last: string | null): Promise<boolean> {
    if (!(await hasStayed(vm, this.#running.values()))) return false;
    return last === null || !this.#options.store.hasGiven(last);
  }
  /** Of one that has ended; undefined: not known here. */
  reportOf(id: string): MigrationReport | undefined {
    return this.#options.store.get(id);
  }

  /** Waits a moment for a VM of which the source may have said already that it runs here. */
  arrivalOf(vm: string): Promise<void> {
    return incomingOf(vm, this.#running.values(), this.#options.registry, ({ settled }) => settled);
  }

  /** The VM, when nobody else on this host does anything with it any more. */
  async #takeable(name: string): Promise<Vm> {
    const { registry, hostName, release } = this.#options;
    await incomingOf(name, this.#running.values(), registry, ({ finished }) => finished);
    await release(name);
    if (this.#isClosing) throw new GodwitError('GW_HOST_STOPPING', { host: hostName });
    return registry.get(name);
  }

  #idOf(given: string): string {
    return completeId(given, [...this.#running.keys(), ...this.#options.store.ids()]);
  }

  async #command(given: string, command: MigrationCommand): Promise<MigrationView> {
    const id = this.#idOf(given);
    const running = this.#running.get(id);
    if (!running) {
      const { state } = this.show(id);
      throw new GodwitError('GW_CONFLICT', { kind: 'Migration', name: id, reason: `it has ended (${state})` });
    }
    await running.handle.command(command);
    return this.show(id);
  }

  async #finish(
    handle: MigrationHandle,
    settled: Promise<() => Promise<void>>,
    self: () => RunningMigration,
  ): Promise<MigrationView> {
    const { aftermath, events, metrics } = this.#options;
    const measured = await handle.ended;
    const cleanUp = await settled;
    await cleanUp();
    const running = self();
    const report = aftermath.store(measured);
    running.view = { ...running.view, state: report.outcome, report };
    metrics.ended(handle.direction, report);
    this.#running.delete(handle.id);
    events.emit({ kind: 'migrationEnded', migration: running.view });
    return running.view;
  }
}
