/**
 * One group of VMs on its way to another host (R1–R7): its regions are watched at both hosts, then its VMs move, each by a
 * migration of its own, and the memory follows them.
 *
 * Owns: the order of all that, and the group's view. Must hold: nothing moves before every region is watched at both hosts;
 * until the first VM is the other host's whatever fails puts all back as it was; from then on there is no way back, and
 * what fails is tried again.
 */
import type { GroupMigrateBody, GroupMigrationView } from '../api/group-migration-schema.ts';
import { asGodwitError, explain, GodwitError, hasCode } from '../base/errors.ts';
import { GroupMember, type GroupMemberPort } from './group-member.ts';
import type { HostGroup } from './groups.ts';
import { MovingRegions, type MovingRegionsPort } from './moving-regions.ts';

export interface GroupMigrationPort extends Pick<GroupMemberPort, 'start' | 'hasEnded' | 'retryMs'> {
  /** Why the VM cannot move to the other host, which has the regions by now. */
  check(vm: string): Promise<readonly string[]>;
  readonly openRegion: MovingRegionsPort['open'];
  readonly onWatched: MovingRegionsPort['onWatched'];
  /** Pages may change hosts from now on, or nothing is watched any more. */
  onUnwatched(): void;
  changed(view: GroupMigrationView): void;
}

const MAX_NOTES = 50;

export class GroupMigration {
  readonly id: string;
  readonly #group: HostGroup;
  readonly #body: GroupMigrateBody;
  readonly #port: GroupMigrationPort;
  /** In the order in which they begin. */
  readonly #members: readonly GroupMember[];
  readonly #regions: MovingRegions;
  readonly #cancelled = new AbortController();
  readonly #startedAtMs = Date.now();
  #state: GroupMigrationView['state'] = 'preparing';
  #notes: readonly string[] = [];
  #error: GodwitError | null = null;
  #endedAtMs: number | null = null;
  /** When the first VM was the other host's. */
  #splitAtMs: number | null = null;

  constructor(id: string, group: HostGroup, body: GroupMigrateBody, port: GroupMigrationPort) {
    this.id = id;
    this.#group = group;
    this.#body = body;
    this.#port = port;
    const first = body.first ?? group.vms[0]!;
    const names = [first, ...group.vms.filter((name) => name !== first)];
    const calls = body.order === 'on-access';
    this.#members = names.map((vm, index) => new GroupMember(vm, this.#memberPort(), calls && index > 0));
    for (const { moved } of this.#members) {
      // Before the first VM has gone one that fails takes the others with it.
      moved.catch(() => (this.#isSplit ? undefined : this.#cancelMembers()));
    }
    this.#regions = new MovingRegions(group.regions, {
      open: port.openRegion,
      onWatched: port.onWatched,
      onStopVm: (vm, page, region) => this.#pullOver(vm, page, region),
      onFailed: (error) => void this.#fail(error),
      onChanged: () => this.#port.changed(this.view),
      note: (text) => this.#note(text),
    });
  }

  get vms(): readonly string[] {
    return this.#group.vms;
  }

  get hasEnded(): boolean {
    return this.#endedAtMs !== null;
  }

  get view(): GroupMigrationView {
    return {
      id: this.id,
      group: this.#group.name,
      to: this.#body.to,
      order: this.#body.order ?? 'together',
      state: this.#state,
      startedAtMs: this.#startedAtMs,
      totalMs: this.#endedAtMs === null ? null : this.#endedAtMs - this.#startedAtMs,
      members: this.#members.map((member) => member.view),
      regions: this.#regions.views,
      notes: [...this.#notes],
      error: this.#error?.toBody() ?? null,
    };
  }

  /** Never rejects. */
  async run(): Promise<GroupMigrationView> {
    const { signal } = this.#cancelled;
    try {
      await this.#regions.open(signal);
      await this.#checkMembers();
      this.#enter('moving');
      await this.#moveMembers();
      this.#enter('completing');
      await this.#regions.completed();
      this.#end('completed', null);
    } catch (thrown) {
      if (!this.#isSplit) {
        await this.#regions.cancel();
        this.#port.onUnwatched();
      }
      const isCancelled = signal.aborted && !this.#isSplit;
      this.#end(isCancelled ? 'cancelled' : 'failed', asGodwitError(isCancelled ? signal.reason : thrown));
    }
    return this.view;
  }

  /** @throws GW_CONFLICT when a VM of it is the other host's */
  async cancel(): Promise<void> {
    if (this.#isSplit) {
      const gone = this.#members.find(({ hasLeft }) => hasLeft)?.vm;
      const reason = `its VM ${gone} is at ${this.#body.to} already, and the others have to follow`;
      throw new GodwitError('GW_CONFLICT', { kind: 'Group migration', name: this.id, reason });
    }
    this.#cancelled.abort(new GodwitError('GW_MIGRATION_CANCELLED'));
    await this.#cancelMembers();
  }

  /** As it is now. */
  async refresh(): Promise<GroupMigrationView> {
    if (!this.hasEnded) await this.#regions.refresh();
    return this.view;
  }

  /** @throws GW_MIGRATION_BLOCKED before any of them moves */
  async #checkMembers(): Promise<void> {
    for (const { vm } of this.#members) {
      const [reason] = await this.#port.check(vm);
      this.#cancelled.signal.throwIfAborted();
      if (reason !== undefined) throw new GodwitError('GW_MIGRATION_BLOCKED', { vm, group: this.#group.name, reason });
    }
  }

  async #moveMembers(): Promise<void> {
    for (const member of this.#members) {
      member.move();
      if (this.#body.order === 'one-by-one') await Promise.race([member.left, member.moved.catch(() => undefined)]);
      if (!this.#isSplit) this.#cancelled.signal.throwIfAborted();
    }
    for (;;) {
      const moved = await Promise.allSettled(this.#members.map((member) => member.moved));
      const failed = moved.find(({ status }) => status === 'rejected') as PromiseRejectedResult | undefined;
      if (!failed) return;
      // Called back too late for one of them: the others have to follow it.
      if (!this.#isSplit || hasCode(failed.reason, 'GW_HOST_STOPPING')) throw failed.reason;
      for (const member of this.#members) member.follow();
    }
  }

  #memberPort(): GroupMemberPort {
    return {
      start: (vm, waits) => this.#port.start(vm, waits),
      retryMs: this.#port.retryMs,
      hasEnded: (vm) => this.#port.hasEnded(vm),
      isSplit: () => this.#isSplit,
      onStands: (vm) => this.#regions.vmStopped(vm),
      onLeft: (vm) => this.#left(vm),
      onContinued: (vm) => this.#regions.vmContinued(vm),
      onChanged: () => this.#port.changed(this.view),
      note: (text) => this.#note(text),
    };
  }

  #left(vm: string): void {
    if (!this.#isSplit) {
      this.#splitAtMs = Date.now();
      this.#port.onUnwatched();
      this.#regions.begin();
    }
    this.#regions.vmLeft(vm);
    this.#enter('split');
  }

  #pullOver(vm: string, page: number, region: string): void {
    const member = this.#members.find((each) => each.vm === vm);
    const ms = Date.now() - (this.#splitAtMs ?? Date.now());
    member?.pullOver({ page, region, ms }).catch((error: unknown) => this.#note(explain(error)));
  }

  /** A region cannot move. */
  async #fail(error: GodwitError): Promise<void> {
    this.#error ??= error;
    if (!this.#isSplit) await this.#cancelMembers();
  }

  async #cancelMembers(): Promise<void> {
    await Promise.allSettled(this.#members.map((member) => member.cancel()));
  }

  get #isSplit(): boolean {
    return this.#splitAtMs !== null;
  }

  #enter(state: GroupMigrationView['state']): void {
    this.#state = state;
    this.#port.changed(this.view);
  }

  #end(state: 'completed' | 'failed' | 'cancelled', error: GodwitError | null): void {
    this.#error ??= error;
    this.#endedAtMs = Date.now();
    this.#enter(state);
  }

  #note(text: string): void {
    this.#notes = [...this.#notes, text].slice(-MAX_NOTES);
    this.#port.changed(this.view);
  }
}
