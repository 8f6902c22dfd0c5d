/**
 * The migrations of an evacuation: which run, which have failed, which have arrived.
 *
 * Must hold: a VM on its way is where it came from until its migration has ended, whichever hosts list it meanwhile (a VM in
 * post-copy has left the list of its source and still fills its port), and it is there once; what a person has
 * cancelled, and what cannot be migrated at all, is not tried again.
 */
import type { MigrationView } from '../api/migration-schema.ts';
import { explain, hasCode } from '../base/errors.ts';
import type { FleetVm, MoveState } from '../fleet/fleet-state.ts';
import type { PlannedMove } from '../fleet/plan.ts';
import type {
  Arrival,
  BegunMove,
  EvacuationMemory,
  EvacuationOutcome,
  EvacuationPort,
  Failure,
} from './evacuation-port.ts';

interface Running extends BegunMove {
  /** null: somebody else has begun it, and the hosts tell. */
  readonly fleetVm: FleetVm | null;
  id: string | null;
  /** How it ended is known. */
  isOver: boolean;
}

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
    const moving = [...this.#running.values()].flatMap(({ move, fleetVm }) => {
      const known = fleetVm ?? places.get(move.vm)?.[0];
      return known ? [{ ...known, host: from }] : [];
    });
    return [...stand, ...moving];
  }

  /** @param obstacle - null: nothing speaks against moving it */
  stateOf(vm: string, obstacle: string | null): MoveState {
    const running = this.#running.get(vm);
    if (running) {
      const { move, startedAtMs } = running;
      const endsAtMs = startedAtMs + move.prediction.totalMs.p50;
      return { kind: 'running', to: move.to, bytesPerSecond: move.bytesPerSecond, endsAtMs };
    }
    if (obstacle !== null) return { kind: 'parked', reason: obstacle };
    return this.#failures.get(vm) ?? { kind: 'waiting' };
  }

  memory(): Omit<EvacuationMemory, 'predictedMs'> {
    return {
      running: [...this.#running.values()].flatMap(({ move, startedAtMs, id, isOver }) =>
        isOver ? [] : [{ move, startedAtMs, id }],
      ),
      arrived: [...this.#arrived],
      failures: [...this.#failures].map(([vm, failure]) => ({ vm, failure })),
    };
  }

  /** Goes on with what another one has done so far. */
  adopt({ running, arrived, failures }: EvacuationMemory, watching: AbortSignal): void {
    this.#arrived.push(...arrived);
    for (const { vm, failure } of failures) this.#failures.set(vm, failure);
    for (const begun of running) {
      const adopted: Running = { ...begun, fleetVm: null, isOver: false };
      this.#hasBegun = true;
      this.#run(adopted, this.#follow(adopted, watching), watching);
    }
  }

  /** @param to - address of its migration port */
  begin(move: PlannedMove, fleetVm: FleetVm, to: string, watching: AbortSignal): void {
    const running: Running = { move, fleetVm, startedAtMs: this.#port.nowMs(), id: null, isOver: false };
    this.#hasBegun = true;
    this.#run(running, this.#carry(running, to, watching), watching);
  }

  /** Of all whose id is known by now; one that cannot be cancelled any more goes on to its end. */
  cancel(): void {
    this.#isCancelled = true;
    for (const { move, id } of this.#running.values()) {
      if (id === null || this.#cancelling.has(id)) continue;
      this.#cancelling.add(id);
      const answered = (): void => void this.#cancelling.delete(id);
      this.#port.cancel(move.from, id).then(answered, answered);
    }
  }

  #run(running: Running, carrying: Promise<void>, watching: AbortSignal): void {
    const { move } = running;
    this.#running.set(move.vm, running);
    const failed = (error: unknown): void => {
      if (watching.aborted) return;
      running.isOver = true;
      this.#fail(move, explain(error), hasCode(error, 'GW_MIGRATION_BLOCKED'));
    };
    void carrying.catch(failed).finally(() => {
      this.#running.delete(move.vm);
      this.#onEnd();
    });
  }

  async #carry(running: Running, to: string, watching: AbortSignal): Promise<void> {
    const { move } = running;
    const promised = move.finishByMs === null ? {} : { finishByMs: Math.round(move.finishByMs) };
    const { id } = await this.#port.begin(move.from, move.vm, { to, ...promised });
    running.id = id;
    this.#port.onEvent({ kind: 'started', move, id });
    this.#take(running, await this.#port.endOf(move.from, id, watching));
  }

  async #follow(running: Running, watching: AbortSignal): Promise<void> {
    const { move, startedAtMs } = running;
    running.id ??= (await this.#port.find(move.from, move.vm, startedAtMs, watching))?.id ?? null;
    // Whoever meant to begin it did not come so far.
    if (running.id === null) return;
    this.#take(running, await this.#port.endOf(move.from, running.id, watching));
  }

  #take(running: Running, view: MigrationView): void {
    const { move, startedAtMs } = running;
    running.isOver = true;
    const { report } = view;
    if (report?.outcome !== 'completed') {
      const isCancelled = report?.outcome === 'cancelled' && !this.#isCancelled;
      const said = report?.error?.message ?? `it ended as ${view.state}`;
      const reason = isCancelled ? `a person cancelled it: ${said}` : said;
      this.#port.onEvent({ kind: 'ended', move, view });
      this.#fail(move, reason, isCancelled || report?.error?.code === 'GW_MIGRATION_BLOCKED');
      return;
    }
    const { totalMs, wireBytes: bytes, downtimeMs } = report;
    const { totalMs: predictedMs, bytes: predictedBytes } = move.prediction;
    this.#arrived.push({
      vm: move.vm,
      id: view.id,
      startedAtMs,
      prediction: move.prediction,
      to: move.to,
      predictedMs,
      predictedBytes: predictedBytes.p50,
      totalMs,
      bytes,
      downtimeMs,
    });
    this.#port.onEvent({ kind: 'ended', move, view });
  }

  #fail({ vm, to }: PlannedMove, reason: string, isFinal: boolean): void {
    const known = this.#failures.get(vm);
    const attempts = (known?.kind === 'failed' ? known.attempts : 0) + 1;
    const failed: Failure = { kind: 'failed', to, atMs: this.#port.nowMs(), attempts, reason };
    this.#failures.set(vm, isFinal ? { kind: 'parked', reason } : failed);
    this.#port.onEvent({ kind: 'failed', vm, reason, attempts });
  }
}
