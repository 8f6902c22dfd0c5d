/**
 * The migrations of an evacuation: which run, which have failed, which have arrived.
 *
 * Must hold: what a person has cancelled, and what cannot be migrated at all, is not tried again; what was held up and not begun is no
 * failure.
 */
import { randomUUID } from 'node:crypto';
import type { GroupMigrateBody } from '../api/group-migration-schema.ts';
import type { MigrateBody, MigrationView } from '../api/migration-schema.ts';
import { explain, hasCode } from '../base/errors.ts';
import type { MoveState } from '../fleet/fleet-state.ts';
import { type CarriedMove, carry, carryOn, remember } from './carried-move.ts';
import { arrivalOf, completeFailure, failedAgain, failureOf, failureOfGroup } from './evacuation-ends.ts';
import { giveOrder } from './evacuation-orders.ts';
import type {
  Arrival,
  EvacuationMemory,
  EvacuationOutcome,
  EvacuationPort,
  Failure,
  MigrationStage,
  Start,
} from './evacuation-port.ts';
import { GroupEnds } from './group-ends.ts';
import { JointMove, rejoin } from './joint-move.ts';
import type { RunningMove } from './settled-picture.ts';

export class EvacuationMoves {
  readonly #port: EvacuationPort;
  readonly #onEnd: () => void;
  readonly #groups: GroupEnds;
  readonly #running = new Map<string, CarriedMove>();
  readonly #failures = new Map<string, Failure>();
  readonly #arrived: Arrival[] = [];
  /** Ids of those whose host was asked to cancel and has not answered. */
  readonly #cancelling = new Set<string>();
  #hasBegun = false;
  #isCancelled = false;

  constructor(port: EvacuationPort, onEnd: () => void) {
    this.#port = port;
    this.#onEnd = onEnd;
    this.#groups = new GroupEnds(port.hosts);
  }
  get hasBegun(): boolean {
    return this.#hasBegun;
  }
  get count(): number {
    return this.#running.size;
  }
  get arrived(): readonly Arrival[] {
    return this.#arrived;
  }
  running(): EvacuationOutcome['running'] {
    return [...this.#running.values()].map(({ move, id }) => ({ vm: move.vm, to: move.to, id }));
  }

  /** Those whose end is not known. */
  underway(): readonly RunningMove[] {
    return [...this.#running.values()].filter(({ isOver }) => !isOver);
  }

  isRunning(vm: string): boolean {
    return this.#running.has(vm);
  }
  hasArrived(vm: string): boolean {
    return this.#arrived.some((arrival) => arrival.vm === vm);
  }
  failed(): string[] {
    return [...this.#failures.keys()];
  }
  reasonOf(vm: string): string | null {
    return this.#failures.get(vm)?.reason ?? null;
  }

  /**
   * @param obstacle - null: nothing speaks against moving it
   * @param isStalled - by what its source tells of its migration
   */
  stateOf(vm: string, obstacle: string | null, isStalled: boolean): MoveState {
    const running = this.#running.get(vm);
    if (running) {
      const { to, bytesPerSecond } = running.move;
      return { kind: 'running', to, bytesPerSecond, endsAtMs: isStalled ? null : running.endsAtMs };
    }
    if (obstacle !== null) return { kind: 'parked', reason: obstacle };
    return this.#failures.get(vm) ?? { kind: 'waiting' };
  }

  memory(): Omit<EvacuationMemory, 'predictedMs' | 'foreign'> {
    return {
      running: remember(this.#running.values()),
      arrived: [...this.#arrived],
      failures: [...this.#failures].map(([vm, failure]) => ({ vm, failure })),
    };
  }

  /** Goes on with what another one has done so far. */
  adopt({ running, arrived, failures }: EvacuationMemory, watching: AbortSignal): void {
    this.#arrived.push(...arrived);
    for (const { vm, failure } of failures) this.#failures.set(vm, completeFailure(failure));
    const joints = rejoin(this.#port.hosts, running, (vm) => this.hasArrived(vm), watching);
    const all = running.map((begun) => carryOn(begun, joints.get(begun.move.vm) ?? null));
    for (const each of all) {
      const following = each.isOfGroup ? this.#followMember(each, watching) : this.#follow(each, watching);
      this.#run([each], following, watching);
    }
  }

  /** @param starts - of one VM, or of several that are to switch over at one moment */
  begin(starts: readonly Start[], requestFor: (start: Start) => MigrateBody, watching: AbortSignal): void {
    const vms = starts.map(({ move }) => move.vm);
    const startedAtMs = this.#port.nowMs();
    const joint = () => new JointMove(this.#port.hosts, starts[0]!.move.from, vms, watching);
    const together = vms.length > 1 ? { vms, joint: joint() } : null;
    for (const start of starts) {
      const order = { requestId: randomUUID(), isOfGroup: false, startedAtMs };
      const running = carry(start, start.move.prediction.totalMs.p50, order, together);
      const request = { ...requestFor(start), requestId: order.requestId };
      this.#run([running], this.#carry(running, request, watching), watching);
    }
  }

  /** @param region - that all of them share, directly or through others */
  beginGroup(starts: readonly Start[], region: string, request: GroupMigrateBody, watching: AbortSignal): void {
    const lastingMs = starts.reduce((sum, { move }) => sum + move.prediction.totalMs.p50, 0);
    const requestId = randomUUID();
    const order = { requestId, isOfGroup: true, startedAtMs: this.#port.nowMs() };
    const members = starts.map((start) => carry(start, lastingMs, order));
    this.#run(members, this.#carryGroup(members, region, { ...request, requestId }, watching), watching);
  }

  /** Of all whose id is known by now; one that cannot be cancelled any more goes on to its end. */
  cancel(): void {
    this.#isCancelled = true;
    for (const { move, id, isOfGroup } of this.#running.values()) {
      if (id === null || this.#cancelling.has(id)) continue;
      this.#cancelling.add(id);
      const answered = (): void => void this.#cancelling.delete(id);
      const order = isOfGroup ? this.#port.hosts.cancelGroup(move.from, id) : this.#port.hosts.cancel(move.from, id);
      order.then(answered, answered);
    }
  }

  #run(members: readonly CarriedMove[], carrying: Promise<void>, watching: AbortSignal): void {
    this.#hasBegun = true;
    for (const running of members) this.#running.set(running.move.vm, running);
    const failed = (error: unknown): void => {
      if (watching.aborted) return;
      for (const running of members) this.#fail(running, explain(error), hasCode(error, 'GW_MIGRATION_BLOCKED'));
    };
    void carrying.catch(failed).finally(() => {
      for (const { move } of members) this.#running.delete(move.vm);
      // Who cancels all cancels the others, too.
      if (!this.#isCancelled) for (const { move, joint } of members) joint?.ended(move.vm, this.hasArrived(move.vm));
      this.#onEnd();
    });
  }

  async #carry(running: CarriedMove, request: MigrateBody, watching: AbortSignal): Promise<void> {
    const { move } = running;
    const { hosts } = this.#port;
    const begun = await this.#order(running, request, (order) => hosts.begin(move.from, move.vm, order));
    if (begun === null) return;
    const { id } = begun;
    running.id = id;
    this.#port.onEvent({ kind: 'started', move, id });
    await this.#toEnd(running, id, watching);
  }

  /** null: it was held up, and is planned anew. */
  #order<Request extends { readonly finishByMs?: number | undefined }, Begun>(
    { move, startedAtMs: givenAtMs }: CarriedMove,
    request: Request,
    begin: (request: Request) => Promise<Begun>,
  ): Promise<Begun | null> {
    return giveOrder(this.#port, { plannedAtMs: move.startsAtMs, givenAtMs, request }, begin);
  }

  async #carryGroup(
    members: readonly CarriedMove[],
    region: string,
    request: GroupMigrateBody,
    watching: AbortSignal,
  ): Promise<void> {
    const [first] = members;
    const { from } = first!.move;
    const begun = await this.#order(first!, request, (order) => this.#port.hosts.beginGroup(from, region, order));
    if (begun === null) return;
    const { id } = begun;
    for (const running of members) {
      running.id = id;
      this.#port.onEvent({ kind: 'started', move: running.move, id });
    }
    await Promise.all(members.map((running) => this.#followMember(running, watching)));
  }

  /** One of a group. */
  async #followMember(running: CarriedMove, watching: AbortSignal): Promise<void> {
    const { move, requestId } = running;
    running.id ??= (await this.#port.hosts.findGroup(move.from, { requestId }, watching))?.id ?? null;
    if (running.id === null) return;
    const { group, arrived } = await this.#groups.of(move.from, running.id, move.vm, watching);
    if (arrived) this.#take(running, arrived.migration, arrived.sharedBytes);
    else this.#fail(running, ...failureOfGroup(group, this.#isCancelled));
  }

  async #follow(running: CarriedMove, watching: AbortSignal): Promise<void> {
    const { move, requestId } = running;
    running.id ??= (await this.#port.hosts.find(move.from, { requestId }, watching))?.id ?? null;
    // Whoever meant to begin it did not come so far, and what he ordered is refused from now on.
    if (running.id === null) return;
    await this.#toEnd(running, running.id, watching);
  }

  async #toEnd(running: CarriedMove, id: string, watching: AbortSignal): Promise<void> {
    const { move, joint } = running;
    const heard = (stage: MigrationStage): void => joint?.heard(move.vm, id, stage);
    const end = this.#port.hosts.endOf(move.from, id, watching, heard);
    joint?.begun(move.vm, id);
    this.#take(running, await end);
  }

  /** @param sharedBytes - that it sent of memory that it shares */
  #take(running: CarriedMove, view: MigrationView, sharedBytes = 0): void {
    const { move } = running;
    running.isOver = true;
    const { report } = view;
    if (report?.outcome !== 'completed') {
      this.#port.onEvent({ kind: 'ended', move, view });
      this.#fail(running, ...failureOf(view, this.#isCancelled, running.joint?.absentee ?? null));
      return;
    }
    this.#arrived.push(arrivalOf(running, view.id, report, { sharedBytes, endKnownAtMs: this.#port.nowMs() }));
    this.#port.onEvent({ kind: 'ended', move, view });
  }

  #fail(running: CarriedMove, reason: string, isFinal: boolean): void {
    const { vm, to } = running.move;
    running.isOver = true;
    const known = this.#failures.get(vm);
    const failed = failedAgain(known, to, this.#port.nowMs(), reason);
    this.#failures.set(vm, isFinal ? { kind: 'parked', reason } : failed);
    this.#port.onEvent({ kind: 'failed', vm, reason, attempts: failed.attempts });
  }
}
