/**
 * The migrations of an evacuation: which run, which have failed, which have arrived.
 *
 * Must hold: a VM on its way is where it came from until its migration has ended, whichever hosts list it meanwhile (a VM in
 * post-copy has left the list of its source and still fills its port), and it is there once; what a person has
 * cancelled, and what cannot be migrated at all, is not tried again.
 */
import { randomUUID } from 'node:crypto';
import type { GroupMigrateBody } from '../api/group-migration-schema.ts';
import type { MigrateBody, MigrationView } from '../api/migration-schema.ts';
import { explain, hasCode } from '../base/errors.ts';
import type { FleetVm, MoveState } from '../fleet/fleet-state.ts';
import { arrivalOf, completeFailure, failedAgain, failureOf, failureOfGroup } from './evacuation-ends.ts';
import type {
  Arrival,
  BegunMove,
  EvacuationMemory,
  EvacuationOutcome,
  EvacuationPort,
  Failure,
  MigrationStage,
  Start,
} from './evacuation-port.ts';
import { GroupEnds } from './group-ends.ts';
import { JointMove, rejoin } from './joint-move.ts';
import { type MovingVm, settle } from './moving-places.ts';

interface Running extends MovingVm {
  readonly endsAtMs: number;
  /** null: it goes by itself. */
  readonly joint: JointMove | null;
  id: string | null;
  /** How it ended is known. */
  isOver: boolean;
}

export class EvacuationMoves {
  readonly #port: EvacuationPort;
  readonly #onEnd: () => void;
  readonly #groups: GroupEnds;
  readonly #running = new Map<string, Running>();
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
  /** All VMs, each where it counts. */
  settle(vms: readonly FleetVm[], from: string): FleetVm[] {
    return settle(vms, from, this.#running, (vm) => this.hasArrived(vm));
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
      running: [...this.#running.values()].flatMap((running) => {
        const { fleetVm: _fleetVm, endsAtMs: _endsAtMs, joint: _joint, isOver, ...begun } = running;
        return isOver ? [] : [begun];
      }),
      arrived: [...this.#arrived],
      failures: [...this.#failures].map(([vm, failure]) => ({ vm, failure })),
    };
  }

  /** Goes on with what another one has done so far. */
  adopt({ running, arrived, failures }: EvacuationMemory, watching: AbortSignal): void {
    this.#arrived.push(...arrived);
    for (const { vm, failure } of failures) this.#failures.set(vm, completeFailure(failure));
    const joints = rejoin(this.#port.hosts, running, (vm) => this.hasArrived(vm), watching);
    const all = running.map((begun): Running => {
      const endsAtMs = begun.startedAtMs + begun.move.prediction.totalMs.p50;
      return { ...begun, fleetVm: null, endsAtMs, joint: joints.get(begun.move.vm) ?? null, isOver: false };
    });
    for (const each of all) {
      const following = each.isOfGroup ? this.#followMember(each, watching) : this.#follow(each, watching);
      this.#run([each], following, watching);
    }
  }

  /** @param starts - of one VM, or of several that are to switch over at one moment */
  begin(starts: readonly Start[], requestFor: (start: Start) => MigrateBody, watching: AbortSignal): void {
    const vms = starts.map(({ move }) => move.vm);
    const joint = vms.length > 1 ? new JointMove(this.#port.hosts, starts[0]!.move.from, vms, watching) : null;
    for (const start of starts) {
      const requestId = randomUUID();
      const order = { requestId, isOfGroup: false, ...(joint ? { together: vms } : {}) };
      const running = this.#begun(start, start.move.prediction.totalMs.p50, order, joint);
      this.#run([running], this.#carry(running, { ...requestFor(start), requestId }, watching), watching);
    }
  }

  /** @param region - that all of them share, directly or through others */
  beginGroup(starts: readonly Start[], region: string, request: GroupMigrateBody, watching: AbortSignal): void {
    const lastingMs = starts.reduce((sum, { move }) => sum + move.prediction.totalMs.p50, 0);
    const requestId = randomUUID();
    const members = starts.map((start) => this.#begun(start, lastingMs, { requestId, isOfGroup: true }));
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

  #begun(
    start: Start,
    lastingMs: number,
    order: Pick<BegunMove, 'requestId' | 'isOfGroup' | 'together'>,
    joint: JointMove | null = null,
  ): Running {
    const startedAtMs = this.#port.nowMs();
    return { ...start, ...order, startedAtMs, endsAtMs: startedAtMs + lastingMs, joint, id: null, isOver: false };
  }

  #run(members: readonly Running[], carrying: Promise<void>, watching: AbortSignal): void {
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

  async #carry(running: Running, request: MigrateBody, watching: AbortSignal): Promise<void> {
    const { move } = running;
    const { id } = await this.#port.hosts.begin(move.from, move.vm, request);
    running.id = id;
    this.#port.onEvent({ kind: 'started', move, id });
    await this.#toEnd(running, id, watching);
  }

  async #carryGroup(
    members: readonly Running[],
    region: string,
    request: GroupMigrateBody,
    watching: AbortSignal,
  ): Promise<void> {
    const { id } = await this.#port.hosts.beginGroup(members[0]!.move.from, region, request);
    for (const running of members) {
      running.id = id;
      this.#port.onEvent({ kind: 'started', move: running.move, id });
    }
    await Promise.all(members.map((running) => this.#followMember(running, watching)));
  }

  /** One of a group. */
  async #followMember(running: Running, watching: AbortSignal): Promise<void> {
    const { move, requestId } = running;
    running.id ??= (await this.#port.hosts.findGroup(move.from, { requestId }, watching))?.id ?? null;
    if (running.id === null) return;
    const { group, arrived } = await this.#groups.of(move.from, running.id, move.vm, watching);
    if (arrived) this.#take(running, arrived.migration, arrived.sharedBytes);
    else this.#fail(running, ...failureOfGroup(group, this.#isCancelled));
  }

  async #follow(running: Running, watching: AbortSignal): Promise<void> {
    const { move, requestId } = running;
    running.id ??= (await this.#port.hosts.find(move.from, { requestId }, watching))?.id ?? null;
    // Whoever meant to begin it did not come so far, and what he ordered is refused from now on.
    if (running.id === null) return;
    await this.#toEnd(running, running.id, watching);
  }

  async #toEnd(running: Running, id: string, watching: AbortSignal): Promise<void> {
    const { move, joint } = running;
    const heard = (stage: MigrationStage): void => joint?.heard(move.vm, id, stage);
    const end = this.#port.hosts.endOf(move.from, id, watching, heard);
    joint?.begun(move.vm, id);
    this.#take(running, await end);
  }

  /** @param sharedBytes - that it sent of memory that it shares */
  #take(running: Running, view: MigrationView, sharedBytes = 0): void {
    const { move } = running;
    running.isOver = true;
    const { report } = view;
    if (report?.outcome !== 'completed') {
      this.#port.onEvent({ kind: 'ended', move, view });
      this.#fail(running, ...failureOf(view, this.#isCancelled, running.joint?.absentee ?? null));
      return;
    }
    this.#arrived.push(arrivalOf(running, view.id, report, sharedBytes));
    this.#port.onEvent({ kind: 'ended', move, view });
  }

  #fail(running: Running, reason: string, isFinal: boolean): void {
    const { vm, to } = running.move;
    running.isOver = true;
    const known = this.#failures.get(vm);
    const failed = failedAgain(known, to, this.#port.nowMs(), reason);
    this.#failures.set(vm, isFinal ? { kind: 'parked', reason } : failed);
    this.#port.onEvent({ kind: 'failed', vm, reason, attempts: failed.attempts });
  }
}
