/**
 * The groups that move from this host, and those that have.
 *
 * Owns: which group moves when. Must hold: every migration of a group ends in a stored report; a group whose memory somebody else uses, or one of whose VMs cannot move, is refused
 * before anything is changed; a VM is in one migration of a group at a time.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { EventHub } from '../api/event-hub.ts';
import type { GroupFollowBody, GroupMigrateBody, GroupMigrationView } from '../api/group-migration-schema.ts';
import { explain, GodwitError } from '../base/errors.ts';
import type { ComingRegionView } from './coming-records.ts';
import { closeGroup, type RunningGroup } from './group-closing.ts';
import { type DepartingHost, portOfDeparture } from './group-departure.ts';
import { GroupMigration } from './group-migration.ts';
import { GroupRecords, type LeavingGroup, LeavingGroupSchema, newRecord } from './group-records.ts';
import { type GroupReports, undoneReport } from './group-reports.ts';
import { type HostGroup, refuseArriving, refuseUnfit } from './groups.ts';
import type { KnownOrders } from './known-orders.ts';
import { canResume, LeavingGroupFiles, type LeavingGroupHost, undoBeginning } from './leaving-group.ts';
import type { Logger } from './logger.ts';
import { completeId } from './migration-id.ts';
import type { Migrations } from './migrations.ts';
import type { Peers } from './peers.ts';
import type { VmRegistry } from './vm-registry.ts';

export interface GroupMigrationsOptions extends DepartingHost {
  readonly peers: Peers;
  readonly registry: VmRegistry;
  readonly migrations: Migrations;
  readonly events: EventHub;
  readonly log: Logger;
  readonly stateDirectory: string;
  readonly reports: GroupReports;
  readonly orders: KnownOrders;
  /** Regions that come to this host. */
  coming(): readonly ComingRegionView[];
}

/** A thread ends with its turn, unless it waits for the kernel. */
const ABANDON_MS = 1000;

export class GroupMigrations {
  readonly #options: GroupMigrationsOptions;
  /** Oldest first. */
  readonly #running = new Map<string, RunningGroup>();
  readonly #host: LeavingGroupHost;
  /** Resolves when the migrations of an earlier daemon have their VMs. */
  readonly #recovered = Promise.withResolvers<void>();
  #left: readonly LeavingGroup[];

  constructor(options: GroupMigrationsOptions) {
    this.#options = options;
    const { stateDirectory, registry, log } = options;
    const records = new GroupRecords(stateDirectory, 'groups-leaving', LeavingGroupSchema);
    this.#host = { records, regions: registry.regions, log };
    this.#left = records.load((path, reason) => log.error({ path, reason }, 'cannot read which group was leaving'));
  }

  /** Names of regions whose files must stay, whoever has them: groups of an earlier daemon that were leaving. */
  get heldRegions(): string[] {
    return this.#left.filter(canResume).flatMap(({ regions }) => regions.map(({ name }) => name));
  }

  /**
   * Goes on with the groups of an earlier daemon. Before anything else is done with these VMs: one that waits for a page
   * cannot be asked anything.
   */
  resume(): void {
    for (const record of this.#left) {
      try {
        if (canResume(record)) this.#resume(record);
        else if (undoBeginning(this.#host, record)) this.#options.reports.save(undoneReport(record));
      } catch (error) {
        const facts = { group: record.name, migration: record.id, reason: explain(error) };
        this.#options.log.error(facts, 'cannot go on with a group that was leaving');
      }
    }
    this.#left = [];
  }

  /** Every VM that a migration of an earlier daemon has is known. */
  recovered(): void {
    this.#recovered.resolve();
  }

  /** Running first, then ended; newest first. */
  list(): GroupMigrationView[] {
    const running = [...this.#running.values()].map(({ migration }) => migration.view).reverse();
    return [...running, ...this.#options.reports.list().filter(({ id }) => !this.#running.has(id))];
  }

  /** @throws GW_NOT_FOUND, GW_INPUT_INVALID when it is the beginning of several */
  async show(given: string): Promise<GroupMigrationView> {
    const id = this.#idOf(given);
    const running = this.#running.get(id);
    const view = running ? await running.migration.refresh() : this.#options.reports.get(id);
    if (view) return view;
    throw new GodwitError('GW_NOT_FOUND', { kind: 'group migration', name: given });
  }

  /** @throws as `show`, GW_CONFLICT */
  async cancel(given: string): Promise<GroupMigrationView> {
    const { migration } = await this.#runningOf(given);
    await migration.cancel();
    return migration.view;
  }

  /** Calls VMs of a divided group that wait here. @throws as `show`, GW_CONFLICT, GW_INPUT_INVALID */
  async follow(given: string, { vm }: GroupFollowBody): Promise<GroupMigrationView> {
    const { migration } = await this.#runningOf(given);
    migration.follow(vm);
    return migration.view;
  }

  /** What moves of these regions' group; undefined: nothing. */
  of(group: HostGroup): GroupMigrationView | undefined {
    return [...this.#running.values()].find(({ migration }) => isOf(migration, group))?.migration.view;
  }

  /** @throws GW_NOT_FOUND, GW_INPUT_INVALID, GW_MIGRATION_BLOCKED, GW_CONFLICT */
  async start(name: string, body: GroupMigrateBody): Promise<GroupMigrationView> {
    const { registry, peers, log, orders } = this.#options;
    const group = registry.groups.get(name);
    const to = peers.resolve(body.to);
    refuseUnknown('first', [body.first ?? []].flat(), group);
    refuseUnknown('modes', Object.keys(body.modes ?? {}), group);
    const coming = this.#options.coming();
    refuseArriving(group, coming);
    await refuseUnfit(group, { vms: registry.list(), coming, moving: undefined }, body.to);
    // Between the look and the start nobody else is let in: a VM that came during the look would be left behind, unwatched.
    if (!isSameGroup(group, registry.groups.get(name))) {
      throw conflict('Group', group.name, 'its VMs were others a moment ago: try again');
    }
    const busy = [...this.#running.values()].find(({ migration }) => isOf(migration, group));
    if (busy) throw conflict('Group', group.name, `its migration ${busy.migration.id} is under way`);
    const id = randomUUID();
    const record = newRecord(id, group, body, to);
    const files = LeavingGroupFiles.begin(this.#host, record);
    orders.begun(`group ${name}`, body, id);
    const migration = this.#make(group, files, false);
    log.info({ group: group.name, migration: id, to, vms: group.vms }, 'migration of a group started');
    return this.#run(migration, files);
  }

  #resume(record: LeavingGroup): void {
    const { id, name, vms } = record;
    const files = new LeavingGroupFiles(this.#host, record);
    const group: HostGroup = { name, vms, regions: files.regions };
    const migration = this.#make(group, files, true);
    this.#options.log.info({ group: name, migration: id, vms }, 'migration of a group goes on');
    this.#run(migration, files);
  }

  #run(migration: GroupMigration, files: LeavingGroupFiles): GroupMigrationView {
    this.#running.set(migration.id, { migration, files, finished: this.#finish(migration, files) });
    return migration.view;
  }

  /** @param resumes - an earlier daemon has begun it */
  #make(group: HostGroup, files: LeavingGroupFiles, resumes: boolean): GroupMigration {
    const { id, body, peer, startedAtMs, members } = files.record;
    const asGiven = { ...body, to: peer ?? body.to };
    const port = portOfDeparture(this.#options, group, files, { recovered: this.#recovered.promise, resumes });
    return new GroupMigration(id, group, asGiven, port, { startedAtMs, members: resumes ? members : null });
  }

  /** Of how many it is not known that nothing of them runs any more. */
  get openCount(): number {
    return this.#running.size;
  }

  /** Cancels those of which nothing has moved. The others it waits for while they move by themselves, but no longer than that. */
  async close(timeoutMs: number): Promise<void> {
    const { log } = this.#options;
    await Promise.all([...this.#running.values()].map((running) => closeGroup(running, timeoutMs, log)));
  }

  /** After `close`, and when no VM's migration needs memory any more: the next daemon goes on with what is left. */
  async abandon(): Promise<void> {
    const ends = [...this.#running.entries()].map(async ([id, { migration }]) => {
      await migration.abandon();
      this.#running.delete(id);
    });
    await Promise.race([Promise.allSettled(ends), delay(ABANDON_MS, undefined, { ref: false })]);
  }

  /** @throws as `show`, GW_CONFLICT */
  async #runningOf(given: string): Promise<RunningGroup> {
    const running = this.#running.get(this.#idOf(given));
    if (running && !running.migration.hasEnded) return running;
    const { id, state } = running?.migration.view ?? (await this.show(given));
    throw conflict('Group migration', id, `it has ended (${state})`);
  }

  async #finish(migration: GroupMigration, files: LeavingGroupFiles): Promise<void> {
    const { reports, log } = this.#options;
    try {
      const view = await migration.run();
      // This daemon ends, and the next one goes on with it.
      if (!migration.hasEnded) return;
      reports.save(view);
      // Else the next daemon goes on with it.
      if (view.state === 'completed' || !migration.isSplit) files.clear();
      const { id, group, state, totalMs, error } = view;
      log.info({ group, migration: id, state, totalMs }, error?.message ?? 'migration of a group ended');
    } finally {
      if (migration.hasEnded) this.#running.delete(migration.id);
    }
  }

  /** A group that moves goes by its name, too. */
  #idOf(given: string): string {
    const named = [...this.#running.values()].find(({ migration: { view } }) => view.group === given);
    if (named) return named.migration.id;
    return completeId(given, [...this.#running.keys(), ...this.#options.reports.ids()]);
  }
}

function isOf(migration: GroupMigration, group: HostGroup): boolean {
  return !migration.hasEnded && migration.vms.some((vm) => group.vms.includes(vm));
}

function refuseUnknown(field: string, names: readonly string[], { vms }: HostGroup): void {
  const unknown = names.find((name) => !vms.includes(name));
  if (unknown === undefined) return;
  throw new GodwitError('GW_INPUT_INVALID', { field, value: unknown, fix: `give one of its VMs: ${vms.join(', ')}` });
}

function isSameGroup(one: HostGroup, other: HostGroup): boolean {
  const facts = ({ vms, regions }: HostGroup): string => JSON.stringify([vms, regions.map(({ inode }) => inode)]);
  return facts(one) === facts(other);
}

function conflict(kind: string, name: string, reason: string): GodwitError {
  return new GodwitError('GW_CONFLICT', { kind, name, reason });
}
