/**
 * What the API can ask of this host, carried out by the registry and the migrations.
 */

import type { CommonalityView } from '../api/commonality-schema.ts';
import type { EventHub } from '../api/event-hub.ts';
import type { GroupFollowBody, GroupMigrateBody, GroupMigrationView } from '../api/group-migration-schema.ts';
import type { GroupDetailView, GroupView } from '../api/group-schema.ts';
import type { HistoryView } from '../api/history-schema.ts';
import type { HostView, TuneHostBody } from '../api/host-schema.ts';
import type { MigrateBody, MigrationView, TuneBody } from '../api/migration-schema.ts';
import type { Leader } from '../api/order-schema.ts';
import type { OutlookQuestion, OutlookView } from '../api/outlook-schema.ts';
import type { ConsoleOptions, HostService } from '../api/service.ts';
import type { UpgradeBody, UpgradeReportView } from '../api/upgrade-schema.ts';
import type { AdoptBody, VmSpecBody, VmView } from '../api/vm-schema.ts';
import { GodwitError } from '../base/errors.ts';
import type { CheckResult } from '../migration/handle.ts';
import type { VisitStore } from '../migration/visit-store.ts';
import type { HostBudget } from '../transfer/host-budget.ts';
import type { Commonality } from './commonality.ts';
import { readConsole } from './console.ts';
import type { DirtySampling } from './dirty-sampling.ts';
import type { GroupMigrations } from './group-migrations.ts';
import { detailOfGroup, type GroupSurroundings, type HostGroup, viewOfGroup } from './groups.ts';
import type { IncomingGroups } from './incoming-groups.ts';
import type { KnownOrders } from './known-orders.ts';
import type { Logger } from './logger.ts';
import type { HostMetrics } from './metrics.ts';
import type { Migrations } from './migrations.ts';
import type { Outlook } from './outlook.ts';
import type { Upgrades } from './upgrades.ts';
import type { Vm } from './vm.ts';
import type { VmRegistry } from './vm-registry.ts';

export interface DaemonServiceOptions {
  readonly events: EventHub;
  readonly registry: VmRegistry;
  readonly visits: VisitStore;
  readonly migrations: Migrations;
  readonly groupMigrations: GroupMigrations;
  readonly orders: KnownOrders;
  readonly incomingGroups: Pick<IncomingGroups, 'coming'>;
  readonly upgrades: Upgrades;
  readonly sampling: DirtySampling;
  readonly outlook: Outlook;
  readonly commonality: Commonality;
  readonly metrics: HostMetrics;
  readonly budget: HostBudget;
  readonly log: Logger;
  host(): HostView;
}

export class DaemonService implements HostService {
  readonly events: EventHub;
  readonly #options: DaemonServiceOptions;

  constructor(options: DaemonServiceOptions) {
    this.#options = options;
    this.events = options.events;
  }

  host(): HostView {
    return this.#options.host();
  }
  tuneHost({ bandwidthBytesPerSecond }: TuneHostBody): HostView {
    const { budget, metrics, events, log } = this.#options;
    budget.setLimit(bandwidthBytesPerSecond);
    metrics.limited(budget.bytesPerSecond);
    log.info({ bandwidthBytesPerSecond: budget.bytesPerSecond }, 'new bandwidth limit of all migrations');
    const host = this.host();
    events.emit({ kind: 'hostChanged', host });
    return host;
  }

  acknowledgeLeader(leader: Leader): Leader {
    return this.#options.orders.acknowledge(leader);
  }

  listVms(): VmView[] {
    return this.#options.registry.list();
  }
  showVm(name: string): VmView {
    return this.#options.registry.view(name);
  }
  createVm(spec: VmSpecBody): Promise<VmView> {
    return this.#options.registry.create(spec);
  }
  adoptVm(request: AdoptBody): Promise<VmView> {
    return this.#options.registry.adopt(request);
  }
  pauseVm(name: string): Promise<VmView> {
    return this.#act(name, (vm) => vm.pause());
  }
  resumeVm(name: string): Promise<VmView> {
    return this.#act(name, (vm) => vm.resume());
  }
  stopVm(name: string, timeoutMs: number): Promise<VmView> {
    return this.#act(name, (vm) => vm.stop(timeoutMs));
  }
  killVm(name: string): Promise<VmView> {
    return this.#act(name, (vm) => vm.kill());
  }
  upgradeVm(name: string, request: UpgradeBody): Promise<UpgradeReportView> {
    return this.#options.upgrades.start(name, request);
  }
  cancelUpgrade(name: string): Promise<VmView> {
    return this.#options.upgrades.cancel(name);
  }
  async removeVm(name: string): Promise<void> {
    const { registry, visits } = this.#options;
    const { uuid } = registry.get(name).record;
    registry.remove(name);
    // Nor is what it left here at an earlier time of use.
    visits.remove(uuid);
  }

  readConsole(name: string, options: ConsoleOptions): AsyncIterable<Uint8Array> {
    const { registry } = this.#options;
    const vm = registry.get(name);
    const path = vm.record.consoleLogPath;
    if (path === null) throw new GodwitError('GW_NOT_FOUND', { kind: 'console of VM', name });
    return readConsole(path, { ...options, alive: () => isHere(registry.find(name), vm) });
  }

  historyOfVm(name: string): HistoryView {
    const { registry, sampling } = this.#options;
    return sampling.historyOf(registry.get(name));
  }

  outlook(question: OutlookQuestion): OutlookView {
    return this.#options.outlook.view(question);
  }
  commonality(isExact: boolean): Promise<CommonalityView> {
    return this.#options.commonality.view(isExact);
  }

  listGroups(): GroupView[] {
    return this.#options.registry.groups.list().map((group) => viewOfGroup(group, this.#around(group)));
  }
  async showGroup(name: string): Promise<GroupDetailView> {
    const group = this.#options.registry.groups.get(name);
    return detailOfGroup(group, this.#around(group));
  }

  migrateGroup(name: string, request: GroupMigrateBody): Promise<GroupMigrationView> {
    const { orders, groupMigrations } = this.#options;
    const begin = (): Promise<GroupMigrationView> => groupMigrations.start(name, request);
    return orders.once(`group ${name}`, request, begin, (id) => groupMigrations.show(id));
  }
  listGroupMigrations(requestId?: string): Promise<GroupMigrationView[]> {
    return this.#begunBy(requestId, () => this.#options.groupMigrations.list());
  }
  showGroupMigration(id: string): Promise<GroupMigrationView> {
    return this.#options.groupMigrations.show(id);
  }
  cancelGroupMigration(id: string): Promise<GroupMigrationView> {
    return this.#options.groupMigrations.cancel(id);
  }
  followGroup(id: string, request: GroupFollowBody): Promise<GroupMigrationView> {
    return this.#options.groupMigrations.follow(id, request);
  }

  checkVm(name: string, to: string): Promise<CheckResult> {
    return this.#options.migrations.check(name, to);
  }
  migrateVm(name: string, request: MigrateBody): Promise<MigrationView> {
    const { orders, migrations } = this.#options;
    const begin = (): Promise<MigrationView> => migrations.start(name, request);
    return orders.once(`VM ${name}`, request, begin, (id) => migrations.show(id));
  }

  listMigrations(limit: number, requestId?: string): Promise<MigrationView[]> {
    const most = requestId === undefined ? limit : Number.POSITIVE_INFINITY;
    return this.#begunBy(requestId, () => this.#options.migrations.list(most));
  }
  showMigration(id: string): MigrationView {
    return this.#options.migrations.show(id);
  }
  waitForMigration(id: string): Promise<MigrationView> {
    return this.#options.migrations.wait(id);
  }
  cancelMigration(id: string): Promise<MigrationView> {
    return this.#options.migrations.cancel(id);
  }
  tuneMigration(id: string, request: TuneBody): Promise<MigrationView> {
    return this.#options.migrations.tune(id, request);
  }
  letMigrationsGo(ids: readonly string[]): Promise<MigrationView[]> {
    return this.#options.migrations.letGo(ids);
  }

  switchToPostCopy(id: string): Promise<MigrationView> {
    return this.#options.migrations.switchToPostCopy(id);
  }

  metrics(): Promise<string> {
    return this.#options.metrics.text();
  }

  async #begunBy<T extends { readonly id: string }>(requestId: string | undefined, list: () => T[]): Promise<T[]> {
    if (requestId === undefined) return list();
    const id = await this.#options.orders.migrationOf(requestId);
    return list().filter((each) => each.id === id);
  }

  #around(group: HostGroup): GroupSurroundings {
    const { registry, groupMigrations, incomingGroups } = this.#options;
    return { vms: registry.list(), coming: incomingGroups.coming(), moving: groupMigrations.of(group) };
  }

  async #act(name: string, action: (vm: Vm) => Promise<void>): Promise<VmView> {
    const { migrations, registry } = this.#options;
    await migrations.arrivalOf(name);
    const vm = registry.get(name);
    await action(vm);
    return vm.view();
  }
}

/** The same VM, perhaps in another QEMU, which writes to the same file. */
function isHere(now: Vm | undefined, vm: Vm): boolean {
  return now !== undefined && now.record.uuid === vm.record.uuid && !now.hasEnded;
}
