/**
 * One VM of a group that moves: its own migrations, one after another until one has succeeded, and what the group's regions
 * have to hear of it.
 *
 * Owns: the VM's part of the group's view. Must hold (R4): once the first VM of the group runs at the other host a VM whose
 * migration fails is tried again, because memory that it needs may be gone.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { GroupMemberView } from '../api/group-migration-schema.ts';
import { explain, GodwitError, hasCode } from '../base/errors.ts';
import type { MigrationHandle } from '../migration/handle.ts';
import type { GroupMemberPort } from './group-member-port.ts';
import { failureOf, newMemberView } from './member-outcome.ts';
import { OverdueStep } from './overdue-step.ts';

const HURRY_AGAIN_MS = 10;
/** Phases in which it is the other host's. */
const GONE = new Set(['committed', 'serving', 'released']);

export class GroupMember {
  readonly #vm: string;
  readonly #port: GroupMemberPort;
  readonly #waits: boolean;
  #view: GroupMemberView;
  #handle: MigrationHandle | undefined;
  #hasBegun = false;
  #moved = Promise.withResolvers<void>();
  #isMoving = false;
  readonly #left = Promise.withResolvers<void>();
  #cancelled: GodwitError | undefined;
  #isHurried = false;
  #stands = false;
  #hasLeft = false;
  readonly #overdue: OverdueStep;

  /**
   * @param waits - it stays, ready, until it is pulled over
   * @param known - what an earlier daemon has written down of it
   */
  constructor(vm: string, port: GroupMemberPort, waits: boolean, known?: GroupMemberView) {
    this.#vm = vm;
    this.#waits = waits;
    this.#port = port;
    this.#overdue = new OverdueStep(port.overdueMs, () => port.onOverdue(vm));
    this.#moved.promise.catch(() => undefined);
    const begun = known && (known.state === 'moved' ? known : { ...known, state: 'waiting' as const });
    this.#view = begun ?? newMemberView(vm);
  }

  get vm(): string {
    return this.#vm;
  }

  get view(): GroupMemberView {
    return this.#view;
  }

  get hasLeft(): boolean {
    return this.#hasLeft;
  }

  /** It stays until it is called. */
  get isUncalled(): boolean {
    return this.#waits && !this.#isHurried && !this.#hasLeft;
  }

  /** Resolves when the VM has moved and nothing of it is here any more. Rejects when it stays. */
  get moved(): Promise<void> {
    return this.#moved.promise;
  }

  /** Resolves when it is the other host's. */
  get left(): Promise<void> {
    return this.#left.promise;
  }

  /** Begins, if it has not begun: see `moved`. */
  move(): void {
    if (this.#hasBegun) return;
    if (this.#cancelled) this.#renew();
    this.#hasBegun = true;
    this.#isMoving = true;
    this.#moveAtLast()
      .finally(() => {
        this.#isMoving = false;
      })
      .then(this.#moved.resolve, this.#moved.reject);
  }

  /** It was called back, or had failed, when another one was the other host's all the same: `moved` is another one. */
  follow(): void {
    if (this.#hasLeft || this.#isMoving) return;
    this.#renew();
    this.#hasBegun = false;
    this.move();
  }

  /** After a restart of the daemon: the VM is the other host's, or has to follow. */
  resume(isHere: boolean): void {
    if (isHere) {
      this.move();
      return;
    }
    this.#standsNow();
    this.#leaves();
    this.#change({ state: 'moved' });
    this.lookUp();
    // An access of its old QEMU has called it before this was known; that will find nothing to be moved.
    if (this.#isMoving) return;
    if (this.#cancelled) this.#renew();
    this.#hasBegun = true;
    this.#moved.resolve();
  }

  /** An access to memory that has gone: the VM is stopped now and runs on at the other host. */
  async pullOver(stoppedBy: NonNullable<GroupMemberView['stoppedBy']>): Promise<void> {
    this.#change({ stoppedBy: this.#view.stoppedBy ?? stoppedBy });
    await this.call();
  }

  /** It waits no longer. */
  async call(): Promise<void> {
    this.#isHurried = true;
    this.move();
    await this.#hurry();
  }

  /** What its migration measured, of one that an earlier daemon has begun. */
  lookUp(): void {
    const { migration, downtimeMs, state } = this.#view;
    const report = state === 'moved' && downtimeMs === null && migration !== null && this.#port.reportOf(migration);
    if (report) this.#change({ downtimeMs: report.downtimeMs, downtimeParts: report.downtimeParts });
  }

  /** Before the first VM has gone. */
  async cancel(): Promise<void> {
    this.#cancelled = new GodwitError('GW_MIGRATION_CANCELLED');
    if (!this.#hasBegun) this.#moved.reject(this.#cancelled);
    await this.#handle?.command({ kind: 'cancel' });
  }

  /** A cancel that came too late has rejected it. */
  #renew(): void {
    this.#moved = Promise.withResolvers();
    this.#moved.promise.catch(() => undefined);
  }

  async #moveAtLast(): Promise<void> {
    for (;;) {
      try {
        await this.#moveOnce();
        return;
      } catch (error) {
        this.#change({ state: this.#hasLeft ? 'moved' : 'failed' });
        if (this.#hasLeft) return;
        if (this.#port.hasEnded(this.#vm) && this.#port.isSplit()) {
          this.#port.note(`VM ${this.#vm} has ended and does not follow its group`);
          this.#standsNow();
          this.#leaves();
          return;
        }
        if (!this.#port.isSplit() || this.#port.isHalted() || hasCode(error, 'GW_HOST_STOPPING')) throw error;
        this.#port.note(`VM ${this.#vm} has to follow its group and is tried again: ${explain(error)}`);
        await delay(this.#port.retryMs);
      }
    }
  }

  async #moveOnce(): Promise<void> {
    const { note } = this.#port;
    if (this.#cancelled && !this.#port.isSplit()) throw this.#cancelled;
    // Of a divided group nothing is begun any more: the next daemon does that.
    if (this.#port.isHalted()) throw new GodwitError('GW_MIGRATION_CANCELLED');
    const isWaiting = this.#waits && !this.#isHurried;
    const handle = await this.#port.start(this.#vm, isWaiting);
    this.#handle = handle;
    if (this.#cancelled && !this.#port.isSplit()) await handle.command({ kind: 'cancel' }).catch(() => undefined);
    const state = isWaiting ? 'waiting' : 'moving';
    this.#change({ migration: handle.id, state, attempts: this.#view.attempts + 1 });
    if (this.#isHurried) void this.#hurry();
    const stopListening = handle.onEvent((event) => {
      if (event.kind === 'guestStands') this.#standsNow();
      if (event.kind === 'phaseChanged' && GONE.has(event.phase)) this.#leaves();
    });
    try {
      const report = await handle.ended;
      if (report.outcome !== 'completed' && !this.#hasLeft) throw failureOf(report);
      this.#leaves();
      this.#change({ state: 'moved', downtimeMs: report.downtimeMs, downtimeParts: report.downtimeParts });
      if (report.error) note(`VM ${this.#vm} has moved: ${report.error.message}`);
    } finally {
      stopListening();
      this.#handle = undefined;
      if (!this.#hasLeft) this.#overdue.end();
      if (this.#stands && !this.#hasLeft) {
        this.#stands = false;
        this.#port.onContinued(this.#vm);
      }
    }
  }

  /** A migration that has not got that far hears it again. */
  async #hurry(): Promise<void> {
    while (!this.#hasLeft && this.#handle) {
      try {
        await this.#handle.command({ kind: 'hurry' });
        this.#change({ state: 'moving' });
        if (!this.#stands && !this.#hasLeft) this.#overdue.expect();
        return;
      } catch (error) {
        if (!hasCode(error, 'GW_CONFLICT')) return;
        await delay(HURRY_AGAIN_MS);
      }
    }
  }

  #standsNow(): void {
    this.#stands = true;
    this.#port.onStands(this.#vm);
    if (!this.#hasLeft) this.#overdue.expect();
  }

  #leaves(): void {
    if (this.#hasLeft) return;
    this.#hasLeft = true;
    this.#overdue.end();
    this.#port.onLeft(this.#vm);
    this.#left.resolve();
  }

  #change(part: Partial<GroupMemberView>): void {
    this.#view = { ...this.#view, ...part };
    this.#port.onChanged();
  }
}
