/**
 * The migrations of an evacuation: which run, which have failed, which have arrived.
 *
 * Must hold: a VM on its way is where it came from until its migration has ended, whichever hosts list it meanwhile (a VM in
 * post-copy has left the list of its source and still fills its port), and it is there once; what a person has
 * cancelled, and what cannot be migrated at all, is not tried again.
 */
import type { GroupMigrationView } from '../api/group-migration-schema.ts';
import type { MigrateBody, MigrationView } from '../api/migration-schema.ts';
import { explain, hasCode } from '../base/errors.ts';
import type { FleetVm, MoveState } from '../fleet/fleet-state.ts';
import type { PlannedMove } from '../fleet/plan.ts';
import type { Arrival, EvacuationOutcome, EvacuationPort } from './evacuation-port.ts';

/** What is begun. */
export interface Start {
  readonly move: PlannedMove;
  readonly fleetVm: FleetVm;
}

interface Running extends Start {
  readonly endsAtMs: number;
  /** Its id is that of a migration of a group. */
  readonly isOfGroup: boolean;
  /** null: it is not known yet. */
  id: string | null;
}

type Failure = Extract<MoveState, { kind: 'failed' | 'parked' }>;

export class EvacuationMoves {
  readonly #port: EvacuationPort;
  readonly #onEnd: () => void;
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
    const places = Map.groupBy(vms, ({ name }) => name);
    const stand = vms.filter(({ name, host }) => {
      if (this.#running.has(name)) return false;
      // Its source has not struck it off yet.
      return !(host === from && this.hasArrived(name) && places.get(name)!.length > 1);
    });
    return [...stand, ...[...this.#running.values()].map(({ fleetVm }) => fleetVm)];
  }

  /** @param obstacle - null: nothing speaks against moving it */
  stateOf(vm: string, obstacle: string | null): MoveState {
    const running = this.#running.get(vm);
    if (running) {
      const { move, endsAtMs } = running;
      return { kind: 'running', to: move.to, bytesPerSecond: move.bytesPerSecond, endsAtMs };
    }
    if (obstacle !== null) return { kind: 'parked', reason: obstacle };
    return this.#failures.get(vm) ?? { kind: 'waiting' };
  }

  begin(start: Start, request: MigrateBody, watching: AbortSignal): void {
    const running = this.#add(start, start.move.prediction.totalMs.p50, false);
    void this.#carry(running, request, watching).finally(() => this.#end([running]));
  }

  /** @param region - that all of them share, directly or through others */
  beginGroup(starts: readonly Start[], region: string, request: MigrateBody, watching: AbortSignal): void {
    const lastingMs = starts.reduce((sum, { move }) => sum + move.prediction.totalMs.p50, 0);
    const running = starts.map((start) => this.#add(start, lastingMs, true));
    void this.#carryGroup(running, region, request, watching).finally(() => this.#end(running));
  }

  #add(start: Start, lastingMs: number, isOfGroup: boolean): Running {
    const running: Running = { ...start, endsAtMs: this.#port.nowMs() + lastingMs, isOfGroup, id: null };
    this.#hasBegun = true;
    this.#running.set(start.move.vm, running);
    return running;
  }

  #end(running: readonly Running[]): void {
    for (const { move } of running) this.#running.delete(move.vm);
    this.#onEnd();
  }

  /** Of all whose id is known by now; one that cannot be cancelled any more goes on to its end. */
  cancel(): void {
    this.#isCancelled = true;
    for (const { move, id, isOfGroup } of this.#running.values()) {
      if (id === null || this.#cancelling.has(id)) continue;
      this.#cancelling.add(id);
      const answered = (): void => void this.#cancelling.delete(id);
      const order = isOfGroup ? this.#port.cancelGroup(move.from, id) : this.#port.cancel(move.from, id);
      order.then(answered, answered);
    }
  }

  async #carry(running: Running, request: MigrateBody, watching: AbortSignal): Promise<void> {
    const { move } = running;
    try {
      const { id } = await this.#port.begin(move.from, move.vm, request);
      running.id = id;
      this.#port.onEvent({ kind: 'started', move, id });
      this.#take(move, await this.#port.endOf(move.from, id, watching));
    } catch (error) {
      if (!watching.aborted) this.#fail(move, explain(error), hasCode(error, 'GW_MIGRATION_BLOCKED'));
    }
  }

  async #carryGroup(
    members: readonly Running[],
    region: string,
    request: MigrateBody,
    watching: AbortSignal,
  ): Promise<void> {
    const [{ move: first }] = members as [Running, ...Running[]];
    try {
      const { id } = await this.#port.beginGroup(first.from, region, request);
      for (const running of members) {
        running.id = id;
        this.#port.onEvent({ kind: 'started', move: running.move, id });
      }
      const { group, migrations } = await this.#port.endOfGroup(first.from, id, watching);
      let sharedBytes = group.regions.reduce((sum, { wireBytes }) => sum + wireBytes, 0);
      for (const { move } of members) {
        const own = migrations.find(({ vm }) => vm === move.vm);
        const isThere = group.state === 'completed' && own?.report?.outcome === 'completed';
        if (isThere) this.#take(move, own, sharedBytes);
        else this.#failInGroup(move, group);
        sharedBytes = isThere ? 0 : sharedBytes;
      }
    } catch (error) {
      if (watching.aborted) return;
      for (const { move } of members) this.#fail(move, explain(error), hasCode(error, 'GW_MIGRATION_BLOCKED'));
    }
  }

  #failInGroup(move: PlannedMove, { state, error, group, notes }: GroupMigrationView): void {
    const isCancelled = state === 'cancelled' && !this.#isCancelled;
    const said = error?.message ?? notes.at(-1) ?? `it ended as ${state}`;
    const who = isCancelled ? `a person cancelled the migration of its group ${group}` : `its group ${group}`;
    this.#fail(move, `${who}: ${said}`, isCancelled || error?.code === 'GW_MIGRATION_BLOCKED');
  }

  /** @param sharedBytes - that it sent of memory that it shares */
  #take(move: PlannedMove, view: MigrationView, sharedBytes = 0): void {
    this.#port.onEvent({ kind: 'ended', move, view });
    const { report } = view;
    if (report?.outcome !== 'completed') {
      const isCancelled = report?.outcome === 'cancelled' && !this.#isCancelled;
      const said = report?.error?.message ?? `it ended as ${view.state}`;
      const reason = isCancelled ? `a person cancelled it: ${said}` : said;
      this.#fail(move, reason, isCancelled || report?.error?.code === 'GW_MIGRATION_BLOCKED');
      return;
    }
    const { totalMs, wireBytes, downtimeMs } = report;
    const { totalMs: predictedMs, bytes: predictedBytes } = move.prediction;
    this.#arrived.push({
      vm: move.vm,
      to: move.to,
      predictedMs,
      predictedBytes: predictedBytes.p50,
      totalMs,
      bytes: wireBytes + sharedBytes,
      downtimeMs,
    });
  }

  #fail({ vm, to }: PlannedMove, reason: string, isFinal: boolean): void {
    const known = this.#failures.get(vm);
    const attempts = (known?.kind === 'failed' ? known.attempts : 0) + 1;
    const failed: Failure = { kind: 'failed', to, atMs: this.#port.nowMs(), attempts, reason };
    this.#failures.set(vm, isFinal ? { kind: 'parked', reason } : failed);
    this.#port.onEvent({ kind: 'failed', vm, reason, attempts });
  }
}
