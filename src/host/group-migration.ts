/**
 * One group of VMs on its way to another host (R1–R7): its regions are watched at both hosts, then its VMs move, each by a
 * migration of its own, and the memory follows them.
 *
 * Owns: the order of all that, and the group's view. Must hold: nothing moves before every region is watched at both hosts;
 * until the first VM is the other host's whatever fails puts all back as it was; from then on there is no way back, and
 * what fails is tried again.
 */
import { setTimeout as delay } from 'node:timers/promises';
import {
  DEFAULT_ORDER,
  type GroupMigrateBody,
  type GroupMigrationView,
  type GroupOrder,
} from '../api/group-migration-schema.ts';
import { asGodwitError, explain, GodwitError, hasCode } from '../base/errors.ts';
import { GroupMember, type GroupMemberPort } from './group-member.ts';
import type { HostGroup } from './groups.ts';
import { hasAnyGone, startedAgain } from './leaving-group.ts';
import { MovingRegions, type MovingRegionsPort } from './moving-regions.ts';

export interface GroupMigrationPort extends Pick<GroupMemberPort, 'start' | 'hasEnded' | 'retryMs' | 'overdueMs'> {
  /** Why the VM cannot move to the other host, which has the regions by now. */
  check(vm: string): Promise<readonly string[]>;
  readonly openRegion: MovingRegionsPort['open'];
  /** Of a group that an earlier daemon has begun to move: whether the VM is this host's. It can take as long as a host is away. */
  isHere(vm: string): Promise<boolean>;
  changed(view: GroupMigrationView): void;
}

const MAX_NOTES = 50;

export class GroupMigration {
  readonly id: string;
  readonly #group: HostGroup;
  readonly #body: GroupMigrateBody;
  readonly #order: GroupOrder;
  readonly #port: GroupMigrationPort;
  /** In the order in which they begin. */
  readonly #members: readonly GroupMember[];
  readonly #regions: MovingRegions;
  readonly #cancelled = new AbortController();
  readonly #startedAtMs: number;
  readonly #isResumed: boolean;
  #state: GroupMigrationView['state'] = 'preparing';
  #notes: readonly string[] = [];
  #error: GodwitError | null = null;
  #endedAtMs: number | null = null;
  /** When the first VM was the other host's. */
  #splitAtMs: number | null = null;

  /** @param resumedSinceMs - when an earlier daemon has begun it */
  constructor(
    id: string,
    group: HostGroup,
    body: GroupMigrateBody,
    port: GroupMigrationPort,
    resumedSinceMs: number | null = null,
  ) {
    this.id = id;
    this.#isResumed = resumedSinceMs !== null;
    this.#startedAtMs = resumedSinceMs ?? Date.now();
    this.#group = group;
    this.#body = body;
    this.#order = body.order ?? DEFAULT_ORDER;
    this.#port = port;
    const first = body.first ?? group.vms[0]!;
    const names = [first, ...group.vms.filter((name) => name !== first)];
    // After a restart all follow at once: nobody knows for whom one of them waits.
    const calls = this.#order === 'on-access' && !this.#isResumed;
    this.#members = names.map((vm, index) => new GroupMember(vm, this.#memberPort(), calls && index > 0));
    for (const { moved } of this.#members) {
      // Before the first VM has gone one that fails takes the others with it.
      moved.catch(() => (this.isSplit ? undefined : this.#cancelMembers()));
    }
    this.#regions = new MovingRegions(group.regions, {
      open: port.openRegion,
      onStopVm: (vm, page, region) => this.#pullOver(vm, page, region),
      onFailed: (error) => void this.#fail(error),
      onChanged: () => this.#port.changed(this.view),
      note: (text) => this.#note(text),
    });
  }

  get vms(): readonly string[] {
    return this.#group.vms;
  }

  /** VMs of it are the other host's. */
  get isSplit(): boolean {
    return this.#splitAtMs !== null || this.#regions.hasBegun;
  }

  get hasEnded(): boolean {
    return this.#endedAtMs !== null;
  }

  get view(): GroupMigrationView {
    return {
      id: this.id,
      group: this.#group.name,
      to: this.#body.to,
      order: this.#order,
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
      if (this.#isResumed) await this.#resumeMembers();
      else await this.#checkMembers();
      this.#enter(this.isSplit ? 'split' : 'moving');
      await this.#moveMembers();
      this.#enter('completing');
      await this.#regions.completed();
      this.#end('completed', null);
    } catch (thrown) {
      if (!this.isSplit) {
        await this.#regions.cancel();
      }
      const isCancelled = signal.aborted && !this.isSplit;
      this.#end(isCancelled ? 'cancelled' : 'failed', asGodwitError(isCancelled ? signal.reason : thrown));
    }
    return this.view;
  }

  /** @throws GW_CONFLICT when a VM of it is the other host's */
  async cancel(): Promise<void> {
    if (this.isSplit) {
      const gone = this.#members.find(({ hasLeft }) => hasLeft)?.vm ?? 'that is first';
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

  /** @throws GW_CONFLICT when no VM has gone: then it is as if nothing had begun */
  async #resumeMembers(): Promise<void> {
    const fates = this.#members.map(async (member) => ({ member, isHere: await this.#port.isHere(member.vm) }));
    if (!this.#regions.hasBegun && !(await hasAnyGone(fates))) throw startedAgain(this.#group.name);
    this.#splitAtMs ??= Date.now();
    this.#regions.begin();
    for (const fate of fates) void fate.then(({ member, isHere }) => member.resume(isHere));
  }

  async #moveMembers(): Promise<void> {
    for (const member of this.#isResumed ? [] : this.#members) {
      member.move();
      if (this.#order === 'one-by-one') await Promise.race([member.left, member.moved.catch(() => undefined)]);
      if (!this.isSplit) this.#cancelled.signal.throwIfAborted();
    }
    for (;;) {
      const moved = await Promise.allSettled(this.#members.map((member) => member.moved));
      const failed = moved.find(({ status }) => status === 'rejected') as PromiseRejectedResult | undefined;
      if (!failed) return;
      // Called back too late for one of them: the others have to follow it.
      if (!this.isSplit || hasCode(failed.reason, 'GW_HOST_STOPPING')) throw failed.reason;
      for (const member of this.#members) member.follow();
      await delay(this.#port.retryMs);
    }
  }

  #memberPort(): GroupMemberPort {
    return {
      start: (vm, waits) => this.#port.start(vm, waits),
      retryMs: this.#port.retryMs,
      overdueMs: this.#port.overdueMs,
      hasEnded: (vm) => this.#port.hasEnded(vm),
      isSplit: () => this.isSplit,
      onStands: (vm) => this.#regions.vmStopped(vm),
      onLeft: (vm) => this.#left(vm),
      onContinued: (vm) => this.#regions.vmContinued(vm),
      onOverdue: (vm) => this.#regions.vmOverdue(vm),
      onChanged: () => this.#port.changed(this.view),
      note: (text) => this.#note(text),
    };
  }

  #left(vm: string): void {
    if (this.#splitAtMs === null) {
      this.#splitAtMs = Date.now();
      this.#regions.begin();
      // Of a connection that was lost in the same moment, and is dialled again now.
      if (this.#error) this.#note(explain(this.#error));
      this.#error = null;
    }
    this.#regions.vmLeft(vm);
    this.#enter('split');
  }

  #pullOver(vm: string, page: number, region: string): void {
    // Of a group that is resumed it can be the first thing that is heard.
    this.#splitAtMs ??= Date.now();
    const member = this.#members.find((each) => each.vm === vm);
    const ms = Date.now() - this.#splitAtMs;
    member?.pullOver({ page, region, ms }).catch((error: unknown) => this.#note(explain(error)));
  }

  /** A region cannot move. */
  async #fail(error: GodwitError): Promise<void> {
    this.#error ??= error;
    if (!this.isSplit) await this.#cancelMembers();
  }

  async #cancelMembers(): Promise<void> {
    await Promise.allSettled(this.#members.map((member) => member.cancel()));
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
