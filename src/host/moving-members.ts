/**
 * The VMs of a group that moves, at the host that they leave.
 *
 * Owns: in which order they begin, and that all of them go on until all have moved. Must hold: before the first VM is the other
 * host's one that fails calls the others back; from then on each has to follow.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { GroupMemberView, GroupOrder } from '../api/group-migration-schema.ts';
import { GodwitError, hasCode } from '../base/errors.ts';
import { GroupMember } from './group-member.ts';
import type { GroupMemberPort } from './group-member-port.ts';
import { hasAnyGone } from './leaving-group.ts';

export interface MovingMembersInput {
  /** In the order in which they begin. */
  readonly vms: readonly string[];
  readonly order: GroupOrder;
  /** What an earlier daemon has written down of them, which has begun it; null: it begins now. */
  readonly resumed: readonly GroupMemberView[] | null;
}

export class MovingMembers {
  readonly #port: GroupMemberPort;
  readonly #order: GroupOrder;
  readonly #isResumed: boolean;
  readonly #members: readonly GroupMember[];

  constructor({ vms, order, resumed }: MovingMembersInput, port: GroupMemberPort) {
    this.#port = port;
    this.#order = order;
    this.#isResumed = resumed !== null;
    // After a restart all follow at once: nobody knows for whom one of them waits.
    const calls = order === 'on-access' && !this.#isResumed;
    this.#members = vms.map((vm, index) => {
      return new GroupMember(
        vm,
        port,
        calls && index > 0,
        resumed?.find((known) => known.vm === vm),
      );
    });
    for (const { moved } of this.#members) {
      // Before the first VM has gone one that fails takes the others with it.
      moved.catch(() => (port.isSplit() ? undefined : this.cancel()));
    }
  }

  get views(): GroupMemberView[] {
    return this.#members.map((member) => member.view);
  }

  /** Those that stay until they touch memory that has gone. */
  get uncalled(): string[] {
    return this.#members.filter(({ isUncalled }) => isUncalled).map(({ vm }) => vm);
  }

  /** The first that is the other host's. */
  get firstGone(): string | undefined {
    return this.#members.find(({ hasLeft }) => hasLeft)?.vm;
  }

  find(vm: string): GroupMember | undefined {
    return this.#members.find((member) => member.vm === vm);
  }

  /** @returns whether any of them is the other host's; those that are not follow when `resume` is called */
  look(isHere: (vm: string) => Promise<boolean>): { readonly anyGone: Promise<boolean>; resume(): void } {
    const fates = this.#members.map(async (member) => ({ member, isHere: await isHere(member.vm) }));
    return {
      anyGone: hasAnyGone(fates),
      resume: () => {
        for (const fate of fates) void fate.then(({ member, isHere: stays }) => member.resume(stays));
      },
    };
  }

  /** Resolves when all have moved. @param signal - of a cancel. @throws why they do not */
  async move(signal: AbortSignal): Promise<void> {
    for (const member of this.#isResumed ? [] : this.#members) {
      member.move();
      if (this.#order === 'one-by-one') await leftOrNot(member);
      if (!this.#port.isSplit()) signal.throwIfAborted();
    }
    for (;;) {
      const moved = await Promise.allSettled(this.#members.map((member) => member.moved));
      const failed = moved.find(({ status }) => status === 'rejected') as PromiseRejectedResult | undefined;
      if (!failed) break;
      // Called back too late for one of them: the others have to follow it.
      const isOver = !this.#port.isSplit() || this.#port.isHalted();
      if (isOver || hasCode(failed.reason, 'GW_HOST_STOPPING')) throw failed.reason;
      for (const member of this.#members) member.follow();
      await delay(this.#port.retryMs);
    }
    for (const member of this.#members) member.lookUp();
  }

  /**
   * Calls one that waits, or all of them: one when the one before has gone, in which order they stand least.
   * @returns resolves when it is done; before the first of the group has gone nothing is. @throws GW_CONFLICT, GW_INPUT_INVALID
   */
  follow(vm: string | undefined): Promise<void> {
    const known = this.uncalled;
    if (known.length === 0) throw this.#conflict('none of its VMs waits: they follow by themselves');
    if (vm !== undefined && !this.find(vm)) {
      throw new GodwitError('GW_INPUT_INVALID', { field: 'vm', value: vm, fix: `give one of ${known.join(', ')}` });
    }
    if (vm !== undefined && !known.includes(vm)) throw this.#conflict(`VM ${vm} does not wait: it moves, or has moved`);
    return this.#call(vm === undefined ? known : [vm]);
  }

  async cancel(): Promise<void> {
    await Promise.allSettled(this.#members.map((member) => member.cancel()));
  }

  async #call(vms: readonly string[]): Promise<void> {
    if (!this.#port.isSplit()) await leftOrNot(this.#members[0]!);
    for (const vm of vms) {
      const member = this.find(vm)!;
      if (!this.#port.isSplit() || this.#port.isHalted()) return;
      await member.call();
      await leftOrNot(member);
    }
  }

  #conflict(reason: string): GodwitError {
    return new GodwitError('GW_CONFLICT', { kind: 'Group', name: this.#port.group, reason });
  }
}

async function leftOrNot({ left, moved }: GroupMember): Promise<void> {
  await Promise.race([left, moved.catch(() => undefined)]);
}
