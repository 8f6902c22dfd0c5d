/**
 * One group of VMs on its way to another host (R1–R7): its regions are watched at both hosts, then its VMs move, each by a
 * migration of its own, and the memory follows them.
 *
 * Owns: the order of all that, and the group's view. Must hold: nothing moves before every region is watched at both hosts;
 * until the first VM is the other host's whatever fails puts all back as it was; from then on there is no way back, and
 * what fails is tried again.
 */
import {
  DEFAULT_ORDER,
  type GroupMigrateBody,
  type GroupMigrationView,
  type GroupOrder,
} from '../api/group-migration-schema.ts';
import { asGodwitError, explain, GodwitError, hasCode } from '../base/errors.ts';
import type { GroupMemberPort } from './group-member-port.ts';
import type { GroupBeginning, GroupMigrationPort } from './group-migration-port.ts';
import { findWaitsFor } from './group-waiting.ts';
import type { HostGroup } from './groups.ts';
import { startedAgain } from './leaving-group.ts';
import { MovingMembers } from './moving-members.ts';
import { MovingRegions, type MovingRegionsPort } from './moving-regions.ts';

const MAX_NOTES = 50;

export class GroupMigration {
  readonly id: string;
  readonly #group: HostGroup;
  readonly #body: GroupMigrateBody;
  readonly #order: GroupOrder;
  readonly #port: GroupMigrationPort;
  readonly #members: MovingMembers;
  readonly #regions: MovingRegions;
  readonly #cancelled = new AbortController();
  readonly #startedAtMs: number;
  readonly #isResumed: boolean;
  /** The daemon ends. */
  #isHalted = false;
  #state: GroupMigrationView['state'] = 'preparing';
  #notes: readonly string[] = [];
  #error: GodwitError | null = null;
  #endedAtMs: number | null = null;
  /** When the first VM was the other host's. */
  #splitAtMs: number | null = null;

  constructor(
    id: string,
    group: HostGroup,
    body: GroupMigrateBody,
    port: GroupMigrationPort,
    { startedAtMs, members }: GroupBeginning,
  ) {
    this.id = id;
    this.#isResumed = members !== null;
    this.#startedAtMs = startedAtMs;
    this.#group = group;
    this.#body = body;
    this.#order = body.order ?? DEFAULT_ORDER;
    this.#port = port;
    const vms = new Set([...[body.first ?? []].flat(), ...group.vms]);
    const input = { vms: [...vms], order: this.#order, resumed: members };
    this.#members = new MovingMembers(input, this.#memberPort());
    this.#regions = new MovingRegions(group.regions, {
      open: port.openRegion,
      onStopVm: (vm, access) => this.#pullOver(vm, access),
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

  /** Divided, and nothing of it moves by itself. */
  get isHeldUp(): boolean {
    return this.isSplit && (this.#members.uncalled.length > 0 || this.#regions.isCut);
  }

  get view(): GroupMigrationView {
    const facts = {
      group: this.#group.name,
      to: this.#body.to,
      state: this.#state,
      members: this.#members.views,
      regions: this.#regions.views,
    };
    return {
      id: this.id,
      ...facts,
      order: this.#order,
      waitsFor: findWaitsFor(facts, this.#members.uncalled),
      startedAtMs: this.#startedAtMs,
      totalMs: this.#endedAtMs === null ? null : this.#endedAtMs - this.#startedAtMs,
      notes: [...this.#notes],
      error: this.#error?.toBody() ?? null,
    };
  }

  /** Never rejects; of one that was halted when divided the view has no end. */
  async run(): Promise<GroupMigrationView> {
    const { signal } = this.#cancelled;
    try {
      await this.#regions.open(signal);
      if (this.#isResumed) await this.#resumeMembers();
      else await this.#checkMembers();
      this.#enter(this.isSplit ? 'split' : 'moving');
      await this.#members.move(signal);
      this.#enter('completing');
      await this.#regions.completed();
      this.#end('completed', null);
    } catch (thrown) {
      if (this.isSplit && (this.#isHalted || hasCode(thrown, 'GW_HOST_STOPPING'))) return this.view;
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
      const gone = this.#members.firstGone ?? 'that is first';
      const reason = `its VM ${gone} is at ${this.#body.to} already, and the others have to follow`;
      throw new GodwitError('GW_CONFLICT', { kind: 'Group migration', name: this.id, reason });
    }
    this.#cancelled.abort(new GodwitError('GW_MIGRATION_CANCELLED'));
    await this.#members.cancel();
  }

  /** Calls VMs that wait at this host, or one of them. @throws GW_CONFLICT, GW_INPUT_INVALID */
  follow(vm?: string): void {
    this.#members.follow(vm).catch((error: unknown) => this.#note(explain(error)));
    this.#port.changed(this.view);
  }

  /** The daemon ends: nothing of a divided group is begun any more, and the next daemon goes on with it. */
  halt(): void {
    this.#isHalted = true;
  }

  /** After `halt`: no thread of it runs any more. */
  async abandon(): Promise<void> {
    await this.#regions.abandon();
  }

  /** As it is now. */
  async refresh(): Promise<GroupMigrationView> {
    if (!this.hasEnded) await this.#regions.refresh();
    return this.view;
  }

  /** @throws GW_MIGRATION_BLOCKED before any of them moves */
  async #checkMembers(): Promise<void> {
    for (const { vm } of this.#members.views) {
      const [reason] = await this.#port.check(vm);
      this.#cancelled.signal.throwIfAborted();
      if (reason !== undefined) throw new GodwitError('GW_MIGRATION_BLOCKED', { vm, group: this.#group.name, reason });
    }
  }

  /** @throws GW_CONFLICT when no VM has gone: then it is as if nothing had begun */
  async #resumeMembers(): Promise<void> {
    const { anyGone, resume } = this.#members.look((vm) => this.#port.isHere(vm));
    if (!this.#regions.hasBegun && !(await anyGone)) throw startedAgain(this.#group.name);
    this.#splitAtMs ??= Date.now();
    this.#regions.begin();
    resume();
  }

  #memberPort(): GroupMemberPort {
    return {
      start: (vm, waits) => this.#port.start(vm, waits),
      retryMs: this.#port.retryMs,
      overdueMs: this.#port.overdueMs,
      group: this.#group.name,
      hasEnded: (vm) => this.#port.hasEnded(vm),
      reportOf: (migration) => this.#port.reportOf(migration),
      isSplit: () => this.isSplit,
      isHalted: () => this.#isHalted,
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

  #pullOver(vm: string, { page, region, atMs }: Parameters<MovingRegionsPort['onStopVm']>[1]): void {
    // Of a group that is resumed it can be the first thing that is heard.
    this.#splitAtMs ??= Date.now();
    // Of the access, however late this busy thread hears of it.
    const ms = Math.max(0, atMs - this.#splitAtMs);
    const member = this.#members.find(vm);
    member?.pullOver({ page, region, ms }).catch((error: unknown) => this.#note(explain(error)));
  }

  /** A region cannot move. */
  async #fail(error: GodwitError): Promise<void> {
    this.#error ??= error;
    if (!this.isSplit) await this.#members.cancel();
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
