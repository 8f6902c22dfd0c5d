/**
 * The groups that move from this host, and those that have.
 *
 * Owns: which group moves when. Must hold: every migration of a group ends in a stored report; a group whose memory somebody else uses, or one of whose VMs cannot move, is refused
 * before anything is changed; a VM is in one migration of a group at a time.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { EventHub } from '../api/event-hub.ts';
import { DEFAULT_ORDER, type GroupMigrateBody, type GroupMigrationView } from '../api/group-migration-schema.ts';
import { explain, GodwitError } from '../base/errors.ts';
import type { HostTraffic } from '../migration/handle.ts';
import type { startRegionSource } from '../sharing/region-threads.ts';
import { GroupMigration, type GroupMigrationPort } from './group-migration.ts';
import { GroupRecords, type LeavingGroup, LeavingGroupSchema } from './group-records.ts';
import type { GroupReports } from './group-reports.ts';
import { type HostGroup, partOf, refuseUnfit } from './groups.ts';
import { canResume, LeavingGroupFiles, type LeavingGroupHost, undoBeginning } from './leaving-group.ts';
import { openLeavingRegion } from './leaving-region.ts';
import type { Logger } from './logger.ts';
import { completeId } from './migration-id.ts';
import type { Migrations } from './migrations.ts';
import { resolvePeer } from './peers.ts';
import type { Vm } from './vm.ts';
import type { VmRegistry } from './vm-registry.ts';

export interface GroupMigrationsOptions {
  readonly hostName: string;
  readonly peers: Readonly<Record<string, string>>;
  readonly registry: VmRegistry;
  readonly migrations: Migrations;
  readonly traffic: HostTraffic;
  readonly events: EventHub;
  readonly log: Logger;
  readonly startRegion: typeof startRegionSource;
  readonly stateDirectory: string;
  readonly reports: GroupReports;
}

interface Running {
  readonly migration: GroupMigration;
  readonly finished: Promise<void>;
}

const RETRY_MS = 1000;
/** A stop takes a few milliseconds, saving the state tens of them. */
const OVERDUE_MS = 1000;

export class GroupMigrations {
  readonly #options: GroupMigrationsOptions;
  /** Oldest first. */
  readonly #running = new Map<string, Running>();
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
        else if (undoBeginning(this.#host, record)) this.#options.reports.save(undoneView(record));
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
    const running = this.#running.get(this.#idOf(given));
    const { id, state } = running?.migration.view ?? (await this.show(given));
    if (!running || running.migration.hasEnded) throw conflict('Group migration', id, `it has ended (${state})`);
    await running.migration.cancel();
    return running.migration.view;
  }

  /** @throws GW_NOT_FOUND, GW_INPUT_INVALID, GW_MIGRATION_BLOCKED, GW_CONFLICT */
  async start(name: string, body: GroupMigrateBody): Promise<GroupMigrationView> {
    const { registry, peers, log } = this.#options;
    const group = registry.groups.get(name);
    const to = resolvePeer(peers, body.to);
    if (body.first !== undefined && !group.vms.includes(body.first)) {
      const fix = `give one of its VMs: ${group.vms.join(', ')}`;
      throw new GodwitError('GW_INPUT_INVALID', { field: 'first', value: body.first, fix });
    }
    await refuseUnfit(group, registry.list(), body.to);
    // Between the look and the start nobody else is let in.
    const busy = [...this.#running.values()].find(({ migration }) => isOf(migration, group));
    if (busy) throw conflict('Group', group.name, `its migration ${busy.migration.id} is under way`);
    const id = randomUUID();
    const record: LeavingGroup = {
      id,
      name: group.name,
      body: { ...body, to },
      vms: [...group.vms],
      startedAtMs: Date.now(),
      regions: group.regions.map(({ name: region, bytes }) => {
        return { name: region, bytes, sessionKey: randomBytes(32).toString('hex'), watched: null };
      }),
    };
    const files = LeavingGroupFiles.begin(this.#host, record);
    const migration: GroupMigration = new GroupMigration(id, group, body, this.#portOf(group, files, false));
    log.info({ group: group.name, migration: id, to, vms: group.vms }, 'migration of a group started');
    return this.#run(migration, files);
  }

  #resume(record: LeavingGroup): void {
    const { id, name, vms, body, startedAtMs } = record;
    const files = new LeavingGroupFiles(this.#host, record);
    const group: HostGroup = { name, vms, regions: files.regions };
    const migration = new GroupMigration(id, group, body, this.#portOf(group, files, true), startedAtMs);
    this.#options.log.info({ group: name, migration: id, vms }, 'migration of a group goes on');
    this.#run(migration, files);
  }

  #run(migration: GroupMigration, files: LeavingGroupFiles): GroupMigrationView {
    this.#running.set(migration.id, { migration, finished: this.#finish(migration, files) });
    return migration.view;
  }

  #portOf(group: HostGroup, files: LeavingGroupFiles, resumes: boolean): GroupMigrationPort {
    const { migrations, registry, events } = this.#options;
    const { id, body } = files.record;
    const { order: _order, first: _first, ...each } = body;
    const find = (name: string): Vm | undefined => {
      const vm = registry.find(name);
      return vm && files.isOf(vm.record) ? vm : undefined;
    };
    return {
      openRegion: (region, onEvent) => openLeavingRegion({ ...this.#options, files, resumes }, region, onEvent),
      isHere: async (vm) => {
        await this.#recovered.promise;
        const stayed = await migrations.hasStayed(vm, files.record.startedAtMs);
        return stayed && find(vm) !== undefined;
      },
      check: async (vm) => {
        const { blockers } = await migrations.check(vm, body.to, partOf(id, group, false));
        return blockers.map(({ what, reason, fix }) => `${what}: ${reason} (${fix})`);
      },
      start: async (vm, waits) => {
        if (resumes) await this.#recovered.promise;
        if (!find(vm)) throw new GodwitError('GW_NOT_FOUND', { kind: 'VM', name: vm });
        return await migrations.begin(vm, each, partOf(id, group, waits));
      },
      retryMs: RETRY_MS,
      overdueMs: OVERDUE_MS,
      hasEnded: (vm) => find(vm)?.hasEnded ?? true,
      changed: (view) => events.emit({ kind: 'groupMigrationChanged', groupMigration: view }),
    };
  }

  /** Cancels those of which nothing has moved, and waits for the others, but no longer than that. */
  async close(timeoutMs: number): Promise<void> {
    const over = Promise.allSettled(
      [...this.#running.values()].map(async ({ migration, finished }) => {
        await migration
          .cancel()
          .catch((error: unknown) => this.#options.log.info({ reason: explain(error) }, 'not cancelled'));
        await finished;
      }),
    );
    await Promise.race([over, delay(timeoutMs, undefined, { ref: false })]);
  }

  async #finish(migration: GroupMigration, files: LeavingGroupFiles): Promise<void> {
    const { reports, log } = this.#options;
    try {
      const view = await migration.run();
      reports.save(view);
      // Else the next daemon goes on with it.
      if (view.state === 'completed' || !migration.isSplit) files.clear();
      const { id, group, state, totalMs, error } = view;
      log.info({ group, migration: id, state, totalMs }, error?.message ?? 'migration of a group ended');
    } finally {
      this.#running.delete(migration.id);
    }
  }

  #idOf(given: string): string {
    return completeId(given, [...this.#running.keys(), ...this.#options.reports.ids()]);
  }
}

/** Of one whose daemon was killed before anything had begun. */
function undoneView({ id, name, body, vms, startedAtMs }: LeavingGroup): GroupMigrationView {
  const member = { migration: null, state: 'waiting', downtimeMs: null, stoppedBy: null, attempts: 0 } as const;
  return {
    ...{ id, group: name, to: body.to, order: body.order ?? DEFAULT_ORDER, state: 'failed', startedAtMs },
    totalMs: Date.now() - startedAtMs,
    members: vms.map((vm) => ({ vm, ...member })),
    ...{ regions: [], notes: [], error: new GodwitError('GW_MIGRATION_INTERRUPTED', { phase: 'preparing' }).toBody() },
  };
}

function isOf(migration: GroupMigration, group: HostGroup): boolean {
  return !migration.hasEnded && migration.vms.some((vm) => group.vms.includes(vm));
}

function conflict(kind: string, name: string, reason: string): GodwitError {
  return new GodwitError('GW_CONFLICT', { kind, name, reason });
}
