/**
 * Tiny VMs of one host daemon that share a region and work on it (guest/sharing), to be moved as a group.
 *
 * Owns: both daemons with the VMs. Must hold: the region is judged while all VMs stand and all its pages are at one host.
 */
import { type CoherenceOutcome, checkCoherence } from '../../guest/sharing/coherence.ts';
import { type RegionLayout, regionLayout, type SharingOptions } from '../../guest/sharing/region-layout.ts';
import type { GroupMigrateBody, GroupMigrationView } from '../../src/api/group-migration-schema.ts';
import { RamFile } from '../../src/linux/ram-file.ts';
import { FEW_CONNECTIONS } from './further-cases.ts';
import type { HostOptions } from './godwit-host.ts';
import { HostPair, isFree, openTinyGuest, type ReachedHost } from './host-pair.ts';
import { regionArguments } from './sharing-vms.ts';
import type { TinyGuestView } from './tiny-guest-view.ts';
import { startTinyVm, type TinyVm, type TinyVmOptions, tinyVmBody } from './tiny-vm.ts';
import { waitUntil } from './wait-until.ts';

export interface SharingGroupOptions {
  readonly count: number;
  /** Default 4. */
  readonly regionMiB?: number;
  readonly layout?: Omit<SharingOptions, 'memberCount'>;
  readonly vm?: Omit<TinyVmOptions, 'name'>;
  /** So many of them, the last ones, are QEMUs that somebody else has started and the host has adopted; default 0. */
  readonly adopted?: number;
  /** For the second host, if it is not to be like the first. */
  readonly atB?: Omit<HostOptions, 'name'>;
}

export const GROUP = 'bus';
/** Five VMs on two CPUs that others use, too, have taken more than a minute. */
const MOVE_TIMEOUT_MS = 300_000;
/** Of their own: passes over few are short. */
const PRIVATE_PAGES = 1024;
/** Of each VM: enough that they are always about to meet, and CPU left for what moves them. */
const PACE = { restMicroseconds: 500, restPages: 32 };

export class SharingGroup implements AsyncDisposable {
  readonly pair: HostPair;
  readonly vms: readonly string[];
  readonly layout: RegionLayout;
  readonly #regionBytes: number;
  readonly #foreign: TinyVm[] = [];

  private constructor(pair: HostPair, vms: readonly string[], layout: RegionLayout, regionBytes: number) {
    this.pair = pair;
    this.vms = vms;
    this.layout = layout;
    this.#regionBytes = regionBytes;
  }

  /** All at host a, and at work. */
  static async start(options: SharingGroupOptions): Promise<SharingGroup> {
    const pair = await HostPair.open({}, options.atB);
    try {
      const regionBytes = (options.regionMiB ?? 4) * 2 ** 20;
      const layout = regionLayout({ ...options.layout, memberCount: options.count }, regionBytes);
      const vms = Array.from({ length: options.count }, (_, member) => `member${member}`);
      const group = new SharingGroup(pair, vms, layout, regionBytes);
      const firstAdopted = options.count - (options.adopted ?? 0);
      for (const [member, name] of vms.entries()) {
        const { guest, ...rest } = options.vm ?? {};
        const own = {
          ...rest,
          name,
          guest: { pageCount: PRIVATE_PAGES, ...PACE, ...guest, sharing: { layout, member } },
        };
        if (member < firstAdopted) await group.#create(own);
        else await group.#adopt(own);
        using view = await group.open(pair.a, name);
        await view.ready();
      }
      return group;
    } catch (error) {
      await pair[Symbol.asyncDispose]();
      throw error;
    }
  }

  async open(at: ReachedHost, vm: string): Promise<TinyGuestView> {
    return openTinyGuest(at, vm);
  }

  /** Each of them does so much more there, or so many entries come to it. */
  async work(at: ReachedHost, increments: number, entries: number = increments / 100): Promise<void> {
    const views = await Promise.all(this.vms.map((vm) => this.open(at, vm)));
    await Promise.all(views.flatMap((guest) => [guest.increments(increments), guest.entriesRead(entries)]));
    for (const view of views) view[Symbol.dispose]();
  }

  /** Begins moving all to the other host. */
  begin(from: ReachedHost, to: string, request: Omit<GroupMigrateBody, 'to'> = {}): Promise<GroupMigrationView> {
    return from.client.migrateGroup(GROUP, { ...FEW_CONNECTIONS, to, ...request });
  }

  /** How it ended; the other host hears of it a moment later, which is waited for where all have moved to it. */
  async ended(from: ReachedHost, id: string, to?: ReachedHost): Promise<GroupMigrationView> {
    const view = await endOfGroup(from, id);
    if (to && view.state === 'completed') await Promise.all(this.vms.map((vm) => isFree(to, vm)));
    return view;
  }

  async move(
    from: ReachedHost,
    to: ReachedHost,
    request: Omit<GroupMigrateBody, 'to'> = {},
  ): Promise<GroupMigrationView> {
    const { id } = await this.begin(from, to.host.migration, request);
    return this.ended(from, id, to);
  }

  /** Stops all of them there, looks, and lets them go on. */
  async check(at: ReachedHost): Promise<CoherenceOutcome> {
    await Promise.all(this.vms.map((vm) => at.client.actOnVm(vm, 'pause')));
    const views = await Promise.all(this.vms.map((vm) => this.open(at, vm)));
    try {
      const [region] = (await at.client.showVm(this.vms[0]!)).sharedMemory;
      using file = RamFile.open(region!.path, this.#regionBytes);
      const shared = checkCoherence(
        views.map(({ sharing }) => sharing),
        file,
        this.layout,
      );
      const own = views.flatMap((view, member) => {
        const outcome = view.checkInvariant();
        return outcome.ok ? [] : [`The memory of member ${member}: page ${outcome.page}: ${outcome.reason}`];
      });
      return { ...shared, problems: [...shared.problems, ...own] };
    } finally {
      for (const view of views) view[Symbol.dispose]();
      await Promise.all(this.vms.map((vm) => at.client.actOnVm(vm, 'resume')));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pair[Symbol.asyncDispose]();
    for (const vm of this.#foreign) await vm[Symbol.asyncDispose]();
  }

  async #create(own: TinyVmOptions & { readonly name: string }): Promise<void> {
    const { client, host } = this.pair.a;
    const sharedMemory = [{ name: GROUP, sizeBytes: this.#regionBytes }];
    await client.createVm(tinyVmBody(host.directory, { ...own, sharedMemory }));
  }

  async #adopt(own: TinyVmOptions & { readonly name: string }): Promise<void> {
    const { client } = this.pair.a;
    const { path } = (await client.showVm(this.vms[0]!)).sharedMemory[0]!;
    const qemuArgs = regionArguments('theirs', path, this.#regionBytes);
    const vm = await startTinyVm({ ...own, vcpus: 2, adoptable: true, qemuArgs });
    this.#foreign.push(vm);
    await client.adoptVm({ name: own.name, pid: vm.pid, qmp: vm.adoptQmpPath });
  }
}

/** A migration of a group once it has ended, however that is. */
export async function endOfGroup(from: ReachedHost, id: string): Promise<GroupMigrationView> {
  let seen: GroupMigrationView | undefined;
  return await waitUntil(
    `group migration ${id} ends`,
    async () => {
      seen = await from.client.showGroupMigration(id);
      return seen.totalMs === null ? undefined : seen;
    },
    { timeoutMs: MOVE_TIMEOUT_MS },
  ).catch((cause: unknown) => {
    throw new Error(`It has come so far: ${JSON.stringify(seen)}`, { cause });
  });
}
