/**
 * All VMs leave a host, by plan.
 *
 * Owns: which moves are wanted, tried and running. Must hold: after everything that happens the fleet is looked at anew and the
 * rest planned anew (B6), so that whoever does this again after a crash goes on where the hosts are; a VM that fails is tried again, then
 * parked with its reason, and holds up no other; who cancels has every migration cancelled that still can be.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { MigrateBody, MigrationView } from '../api/migration-schema.ts';
import { explain } from '../base/errors.ts';
import type { Move, MoveState } from '../fleet/fleet-state.ts';
import { nextPlan } from '../fleet/next-plan.ts';
import type { FleetPlan, PlannedMove } from '../fleet/plan.ts';
import type { FleetPicture } from './fleet-picture.ts';

export interface EvacuationRequest {
  /** The host that all leave. */
  readonly from: string;
  /** null: to wherever is best. */
  readonly to: string | null;
  /** Unix milliseconds; null: none. */
  readonly deadlineAtMs: number | null;
}

export interface EvacuationPort {
  picture(): Promise<FleetPicture>;
  begin(host: string, vm: string, request: MigrateBody): Promise<MigrationView>;
  endOf(host: string, id: string, signal: AbortSignal): Promise<MigrationView>;
  cancel(host: string, id: string): Promise<unknown>;
  nowMs(): number;
  onEvent(event: EvacuationEvent): void;
}

export type EvacuationEvent =
  | { readonly kind: 'planned'; readonly plan: FleetPlan }
  | { readonly kind: 'waits'; readonly reason: string }
  | { readonly kind: 'started'; readonly move: PlannedMove; readonly id: string }
  | { readonly kind: 'ended'; readonly move: PlannedMove; readonly view: MigrationView }
  | { readonly kind: 'failed'; readonly vm: string; readonly reason: string; readonly attempts: number };

/** Of one VM that has arrived. */
export interface Arrival {
  readonly vm: string;
  readonly to: string;
  readonly predictedMs: { readonly p10: number; readonly p50: number; readonly p90: number };
  readonly predictedBytes: number;
  readonly totalMs: number;
  readonly bytes: number;
  readonly downtimeMs: number | null;
}

export interface EvacuationOutcome {
  readonly state: 'completed' | 'incomplete' | 'cancelled';
  readonly arrived: readonly Arrival[];
  /** Those that have stayed, and why. */
  readonly stayed: readonly { readonly vm: string; readonly reason: string }[];
  readonly totalMs: number;
  /** By the first plan; null: nothing was to be moved. */
  readonly predictedMs: number | null;
}

interface Running {
  readonly move: PlannedMove;
  readonly startedAtMs: number;
  /** null: it is not known yet. */
  id: string | null;
}

/** A host that does not answer, or a migration that somebody else has begun: looked at again. */
const LOOK_AGAIN_MS = 1000;
/** With nothing to wait for but what happens. */
const LONGEST_WAIT_MS = 60_000;

export class Evacuation {
  readonly #port: EvacuationPort;
  readonly #request: EvacuationRequest;
  readonly #running = new Map<string, Running>();
  readonly #failures = new Map<string, Extract<MoveState, { kind: 'failed' }>>();
  readonly #arrived: Arrival[] = [];
  #predictedMs: number | null = null;
  #happened = Promise.withResolvers<void>();

  constructor(port: EvacuationPort, request: EvacuationRequest) {
    this.#port = port;
    this.#request = request;
  }

  async run(signal: AbortSignal): Promise<EvacuationOutcome> {
    const startedAtMs = this.#port.nowMs();
    const watching = new AbortController();
    let stayed: EvacuationOutcome['stayed'] = [];
    try {
      while (!signal.aborted) {
        const step = await this.#step(watching.signal);
        stayed = step.stayed;
        if (step.isOver) break;
        await this.#somethingHappens(step.againInMs, signal);
      }
      if (signal.aborted) await this.#cancelAll();
    } finally {
      watching.abort();
    }
    return {
      state: signal.aborted ? 'cancelled' : stayed.length > 0 ? 'incomplete' : 'completed',
      arrived: this.#arrived,
      stayed,
      totalMs: this.#port.nowMs() - startedAtMs,
      predictedMs: this.#predictedMs,
    };
  }

  /** Looks, plans, and begins what is due. */
  async #step(watching: AbortSignal) {
    const { from } = this.#request;
    const picture = await this.#port.picture();
    const silent = picture.failures.find(({ name }) => name === from);
    if (silent) {
      this.#port.onEvent({ kind: 'waits', reason: `${from} does not answer: ${silent.failure}` });
      return { isOver: false, stayed: [], againInMs: LOOK_AGAIN_MS };
    }
    const { moves, foreign } = this.#moves(picture);
    const plan = nextPlan({ ...picture.base, moves }, picture.contents);
    if (this.#predictedMs === null && moves.length > 0) this.#predictedMs = plan.makespanMs;
    this.#port.onEvent({ kind: 'planned', plan });
    for (const move of plan.moves) {
      if (move.wait === null) this.#begin(move, picture.addresses.get(move.to)!, watching);
    }
    const isIdle = this.#running.size === 0 && foreign === 0;
    const stayed = plan.refused.map(({ vm, why }) => ({ vm, reason: 'reason' in why ? why.reason : why.kind }));
    const askAgainMs = plan.askAgainAtMs === null ? null : plan.askAgainAtMs - this.#port.nowMs();
    return {
      isOver: isIdle && plan.moves.length === 0,
      stayed,
      againInMs: foreign > 0 || (isIdle && askAgainMs === null) ? LOOK_AGAIN_MS : askAgainMs,
    };
  }

  #moves({ vms }: FleetPicture): { moves: Move[]; foreign: number } {
    const { from, to, deadlineAtMs } = this.#request;
    const here = vms.filter(({ fleetVm }) => fleetVm.host === from);
    const foreign = here.filter(({ outlook }) => outlook.migration !== null && !this.#running.has(outlook.name));
    const moves = here
      .filter((vm) => !foreign.includes(vm))
      .map(
        ({ fleetVm, obstacle }): Move => ({
          vm: fleetVm.name,
          to,
          deadlineAtMs,
          state: this.#stateOf(fleetVm.name, obstacle),
        }),
      );
    return { moves, foreign: foreign.length };
  }

  #stateOf(vm: string, obstacle: string | null): MoveState {
    const running = this.#running.get(vm);
    if (running) {
      const { move, startedAtMs } = running;
      const endsAtMs = startedAtMs + move.prediction.totalMs.p50;
      return { kind: 'running', to: move.to, bytesPerSecond: move.bytesPerSecond, endsAtMs };
    }
    if (obstacle !== null) return { kind: 'parked', reason: obstacle };
    return this.#failures.get(vm) ?? { kind: 'waiting' };
  }

  #begin(move: PlannedMove, to: string, watching: AbortSignal): void {
    const running: Running = { move, startedAtMs: this.#port.nowMs(), id: null };
    this.#running.set(move.vm, running);
    void this.#carry(running, to, watching).finally(() => {
      this.#running.delete(move.vm);
      this.#happened.resolve();
    });
  }

  async #carry(running: Running, to: string, watching: AbortSignal): Promise<void> {
    const { move } = running;
    try {
      const promised = move.finishByMs === null ? {} : { finishByMs: Math.round(move.finishByMs) };
      const { id } = await this.#port.begin(move.from, move.vm, { to, ...promised });
      running.id = id;
      this.#port.onEvent({ kind: 'started', move, id });
      this.#take(move, await this.#port.endOf(move.from, id, watching));
    } catch (error) {
      if (!watching.aborted) this.#fail(move.vm, explain(error));
    }
  }

  #take(move: PlannedMove, view: MigrationView): void {
    this.#port.onEvent({ kind: 'ended', move, view });
    const { report } = view;
    if (report?.outcome !== 'completed') {
      this.#fail(move.vm, report?.error?.message ?? `it ended as ${view.state}`);
      return;
    }
    const { totalMs, wireBytes: bytes, downtimeMs } = report;
    const { totalMs: predictedMs, bytes: predictedBytes } = move.prediction;
    this.#arrived.push({
      vm: move.vm,
      to: move.to,
      predictedMs,
      predictedBytes: predictedBytes.p50,
      totalMs,
      bytes,
      downtimeMs,
    });
  }

  #fail(vm: string, reason: string): void {
    const attempts = (this.#failures.get(vm)?.attempts ?? 0) + 1;
    this.#failures.set(vm, { kind: 'failed', atMs: this.#port.nowMs(), attempts, reason });
    this.#port.onEvent({ kind: 'failed', vm, reason, attempts });
  }

  /** A migration ends, the time has come to plan again, or it is cancelled. */
  async #somethingHappens(withinMs: number | null, signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    const either = AbortSignal.any([signal, over.signal]);
    const time = delay(Math.max(0, withinMs ?? LONGEST_WAIT_MS), undefined, { signal: either }).catch(() => undefined);
    await Promise.race([this.#happened.promise, time]);
    over.abort();
    this.#happened = Promise.withResolvers<void>();
  }

  /** One that cannot be cancelled any more goes on to its end. */
  async #cancelAll(): Promise<void> {
    while (this.#running.size > 0) {
      const known = [...this.#running.values()].filter(({ id }) => id !== null);
      await Promise.allSettled(known.map(({ move, id }) => this.#port.cancel(move.from, id!)));
      await this.#somethingHappens(LOOK_AGAIN_MS, new AbortController().signal);
    }
  }
}
