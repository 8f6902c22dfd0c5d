/**
 * The groups that move from this host, and those that have.
 *
 * Owns: which group moves when. Must hold: a group whose memory somebody else uses, or one of whose VMs cannot move, is refused
 * before anything is changed; a VM is in one migration of a group at a time.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { EventHub } from '../api/event-hub.ts';
import type { GroupMigrateBody, GroupMigrationView } from '../api/group-migration-schema.ts';
import { explain, GodwitError } from '../base/errors.ts';
import { isSameFile } from '../linux/file-users.ts';
import { readMappings } from '../linux/process.ts';
import type { HostTraffic } from '../migration/handle.ts';
import type { GroupPart } from '../migration/shared-part.ts';
import { joinMappings } from '../qemu/ram.ts';
import type { RegionSourceEvent, RegionSourceHandle, startRegionSource, WatchedVm } from '../sharing/region-threads.ts';
import { GroupMigration } from './group-migration.ts';
import { detailOfGroup, type HostGroup } from './groups.ts';
import { type HostRegion, problemOf } from './host-region.ts';
import type { LeftWatch, LeftWatches } from './left-watches.ts';
import type { Logger } from './logger.ts';
import type { Migrations } from './migrations.ts';
import { resolvePeer } from './peers.ts';
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
  readonly watches: LeftWatches;
}

interface Running {
  readonly migration: GroupMigration;
  readonly finished: Promise<GroupMigrationView>;
}

/** Of those that have ended; each VM's own report is kept like any other. */
const MAX_ENDED = 100;
const RETRY_MS = 1000;

export class GroupMigrations {
  readonly #options: GroupMigrationsOptions;
  /** Oldest first. */
  readonly #known = new Map<string, Running>();

  constructor(options: GroupMigrationsOptions) {
    this.#options = options;
  }

  /** Newest first. */
  list(): GroupMigrationView[] {
    return [...this.#known.values()].map(({ migration }) => migration.view).reverse();
  }

  async show(id: string): Promise<GroupMigrationView> {
    return await this.#get(id).migration.refresh();
  }

  wait(id: string): Promise<GroupMigrationView> {
    return this.#get(id).finished;
  }

  async cancel(id: string): Promise<GroupMigrationView> {
    const { migration } = this.#get(id);
    if (migration.hasEnded) throw conflict('Group migration', id, `it has ended (${migration.view.state})`);
    await migration.cancel();
    return migration.view;
  }

  /** @throws GW_NOT_FOUND, GW_INPUT_INVALID, GW_MIGRATION_BLOCKED, GW_CONFLICT */
  async start(name: string, body: GroupMigrateBody): Promise<GroupMigrationView> {
    const { registry, peers, events, log } = this.#options;
    const group = registry.groups.get(name);
    const to = resolvePeer(peers, body.to);
    if (body.first !== undefined && !group.vms.includes(body.first)) {
      const fix = `give one of its VMs: ${group.vms.join(', ')}`;
      throw new GodwitError('GW_INPUT_INVALID', { field: 'first', value: body.first, fix });
    }
    await this.#refuseUnfit(group, body.to);
    // Between the look and the start nobody else is let in.
    const busy = [...this.#known.values()].find(({ migration }) => isOf(migration, group));
    if (busy) throw conflict('Group', group.name, `its migration ${busy.migration.id} is under way`);
    const id = randomUUID();
    const { order: _order, first: _first, ...each } = body;
    const migration: GroupMigration = new GroupMigration(id, group, body, {
      openRegion: (region, onEvent) => this.#openRegion(id, to, region, onEvent),
      onWatched: (region, insideFds) => this.#options.watches.add(id, watchesOf(region, insideFds)),
      onUnwatched: () => this.#options.watches.remove(id),
      check: async (vm) => {
        const { blockers } = await this.#options.migrations.check(vm, to, partOf(id, group, false));
        return blockers.map(({ what, reason, fix }) => `${what}: ${reason} (${fix})`);
      },
      start: (vm, waits) => this.#options.migrations.begin(vm, each, partOf(id, group, waits)),
      retryMs: RETRY_MS,
      hasEnded: (vm) => registry.find(vm)?.hasEnded ?? true,
      changed: (view) => events.emit({ kind: 'groupMigrationChanged', groupMigration: view }),
    });
    log.info({ group: group.name, migration: id, to, vms: group.vms }, 'migration of a group started');
    this.#known.set(id, { migration, finished: this.#finish(migration) });
    this.#forgetOld();
    return migration.view;
  }

  /** Cancels those of which nothing has moved, and waits for the others, but no longer than that. */
  async close(timeoutMs: number): Promise<void> {
    const running = [...this.#known.values()].filter(({ migration }) => !migration.hasEnded);
    const over = Promise.allSettled(
      running.map(async ({ migration, finished }) => {
        await migration
          .cancel()
          .catch((error: unknown) => this.#options.log.info({ reason: explain(error) }, 'not cancelled'));
        await finished;
      }),
    );
    await Promise.race([over, delay(timeoutMs, undefined, { ref: false })]);
  }

  async #finish(migration: GroupMigration): Promise<GroupMigrationView> {
    const view = await migration.run();
    const { id, group, state, totalMs, error } = view;
    this.#options.log.info({ group, migration: id, state, totalMs }, error?.message ?? 'migration of a group ended');
    return view;
  }

  /** @throws GW_MIGRATION_BLOCKED */
  async #refuseUnfit(group: HostGroup, to: string): Promise<void> {
    const { registry } = this.#options;
    const { strangers } = await detailOfGroup(group, registry.list());
    const blocked = (reason: string): GodwitError =>
      new GodwitError('GW_MIGRATION_BLOCKED', { vm: group.vms.join(', '), group: group.name, to, reason });
    const [stranger] = strangers;
    if (stranger) {
      const { pid, command, region, use } = stranger;
      const fix = `end it, or make it a VM of this host: godwit vm adopt --pid ${pid}`;
      throw blocked(
        `process ${pid} (${command}) ${use} the shared memory ${region} and is no VM of the group (${fix})`,
      );
    }
    for (const region of group.regions) {
      const problem = problemOf(region);
      if (problem !== null) throw blocked(`shared memory ${region.name}: ${problem}`);
    }
  }

  #openRegion(
    group: string,
    to: string,
    region: HostRegion,
    onEvent: (event: RegionSourceEvent) => void,
  ): RegionSourceHandle {
    const { hostName, registry, startRegion, traffic } = this.#options;
    const { dscp } = traffic;
    const vms = placesOf(region).map((place) => {
      return { ...place, canStopInFault: usesKvm(registry.get(place.vm).record.args) };
    });
    const { name, bytes, path } = region;
    const sessionKey = randomBytes(32).toString('hex');
    const place = { group, sessionKey, region: { name, bytes, path }, to, hostName, dscp };
    return startRegion({ ...place, vms, onEvent });
  }

  #get(id: string): Running {
    const found = this.#known.get(id) ?? [...this.#known].find(([known]) => known.startsWith(id))?.[1];
    if (found) return found;
    throw new GodwitError('GW_NOT_FOUND', { kind: 'group migration', name: id });
  }

  #forgetOld(): void {
    for (const [id, { migration }] of this.#known) {
      if (this.#known.size <= MAX_ENDED) return;
      if (migration.hasEnded) this.#known.delete(id);
    }
  }
}

function partOf(id: string, group: HostGroup, waits: boolean): GroupPart {
  const regions = group.regions.map(({ name, device, inode }) => ({ name, device, inode }));
  return { id, regions, waits };
}

/** Where its VMs have it. */
function placesOf(region: HostRegion): WatchedVm[] {
  return region.members.flatMap(({ vm, process }) => {
    const mapped = process && joinMappings(readMappings(process.pid)).find((file) => isSameFile(file, region));
    return mapped ? [{ vm, ...process, hostAddress: mapped.start }] : [];
  });
}

function watchesOf(region: HostRegion, insideFds: ReadonlyMap<string, number>): LeftWatch[] {
  return placesOf(region).flatMap(({ hostAddress, ...place }) => {
    const insideFd = insideFds.get(place.vm);
    return insideFd === undefined
      ? []
      : [{ ...place, hostAddress: hostAddress.toString(16), bytes: region.bytes, insideFd }];
  });
}

function isOf(migration: GroupMigration, group: HostGroup): boolean {
  return !migration.hasEnded && migration.vms.some((vm) => group.vms.includes(vm));
}

/** Under KVM a vCPU that waits in a fault can be stopped; with TCG it has to be served first. */
function usesKvm(args: readonly string[]): boolean {
  return args.some((arg, index) => args[index - 1] === '-accel' && /^kvm\b/.test(arg));
}

function conflict(kind: string, name: string, reason: string): GodwitError {
  return new GodwitError('GW_CONFLICT', { kind, name, reason });
}
