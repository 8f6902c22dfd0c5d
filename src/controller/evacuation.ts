/**
 * All VMs leave a host, by plan.
 *
 * Owns: looking, planning and beginning, until it is over. Must hold: after everything that happens the fleet is looked at anew and
 * the rest planned anew (B6), so that whoever does this again after a crash goes on where the hosts are; a VM that fails is tried
 * again, then parked with its reason, and holds up no other; nothing is begun to a host that its own VMs are to leave; who cancels has every migration cancelled that still can be, and
 * nothing begun after it; however it ends, each VM is accounted for: arrived, stayed, or left on its way.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { asGodwitError, GodwitError } from '../base/errors.ts';
import { unlessAborted } from '../base/unless-aborted.ts';
import { explainRefusal } from '../fleet/explain.ts';
import type { FleetVm, Move } from '../fleet/fleet-state.ts';
import { nextPlan } from '../fleet/next-plan.ts';
import { dueNow, keepWhole, planBundled } from './bundled-plan.ts';
import { EvacuationMoves } from './evacuation-moves.ts';
import type { EvacuationMemory, EvacuationOutcome, EvacuationPort, EvacuationRequest } from './evacuation-port.ts';
import { EvacuationWaits, sayThatSilent } from './evacuation-waits.ts';
import type { FleetPicture, PicturedVm } from './fleet-picture.ts';
import { ForeignMoves } from './foreign-moves.ts';
import type { JointPlanner, SharedLook } from './joint-planning.ts';
import { groupRequestFor, requestFor } from './move-request.ts';
import { settleVms, withArrivals } from './settled-picture.ts';
import { type UnderwayMove, withUnderway } from './underway.ts';

interface Step {
  readonly hasBegun: boolean;
  readonly isOver: boolean;
  /** null: nothing is due before something happens. */
  readonly againInMs: number | null;
}

const NOTHING_BEGUN = { hasBegun: false, isOver: false } as const;
const CANCELLED: Step = { ...NOTHING_BEGUN, isOver: true, againInMs: null };
/** With nothing to wait for but what happens. */
const LONGEST_WAIT_MS = 60_000;
/** What has not ended by then after it was cancelled is left on its way. */
const LONGEST_CANCEL_MS = 120_000;

export class Evacuation {
  readonly #port: EvacuationPort;
  readonly #request: EvacuationRequest;
  readonly #begun: EvacuationMemory | null;
  readonly #moves: EvacuationMoves;
  readonly #waits: EvacuationWaits;
  readonly #foreign: ForeignMoves;
  readonly #planner: JointPlanner;
  /** Sentences about VMs that the last plan does not move. */
  #refusals = new Map<string, string>();
  /** At `from`, when it was looked at last. */
  #here: readonly PicturedVm[] = [];
  /** Wherever they are. */
  #listed: ReadonlySet<string> = new Set();
  #hasSeen = false;
  #predictedMs: number | null = null;
  #happened = Promise.withResolvers<void>();

  /** @param begun - what another one has done so far of the same */
  constructor(port: EvacuationPort, request: EvacuationRequest, begun: EvacuationMemory | null = null) {
    this.#port = port;
    this.#request = request;
    this.#begun = begun;
    this.#predictedMs = begun?.predictedMs ?? null;
    this.#planner = {
      from: request.from,
      running: () => this.#moves.underway(),
      arrived: () => this.#moves.arrived,
      wake: () => this.#happened.resolve(),
    };
    this.#moves = new EvacuationMoves(port, () => {
      this.#happened.resolve();
      port.planning.wakeOthers(this.#planner);
    });
    this.#foreign = new ForeignMoves((reason) => port.onEvent({ kind: 'foreign', reason }), begun?.foreign);
    this.#waits = new EvacuationWaits((reason) => port.onEvent({ kind: 'waits', reason }));
  }

  memory(): EvacuationMemory {
    return { ...this.#moves.memory(), foreign: this.#foreign.all, predictedMs: this.#predictedMs };
  }

  /**
   * Throws what keeps it from beginning; what keeps it from going on is told in the outcome.
   *
   * @param cancel - cancels what runs
   * @param leave - ends at once, whatever still runs
   */
  async run(cancel: AbortSignal, leave: AbortSignal): Promise<EvacuationOutcome> {
    const startedAtMs = this.#port.nowMs();
    const watching = new AbortController();
    let error: GodwitError | null = null;
    using _joined = this.#port.planning.join(this.#planner);
    if (this.#begun) this.#moves.adopt(this.#begun, watching.signal);
    try {
      await this.#goOn(watching.signal, cancel);
      if (cancel.aborted) await this.#cancelAll(leave);
      // Whoever goes on with what is to be cancelled has not looked yet, and what stays is accounted for.
      if (!this.#hasSeen && !leave.aborted) this.#see(this.#port.picture(await this.#port.look()));
    } catch (thrown) {
      if (!this.#moves.hasBegun) throw thrown;
      error = asGodwitError(thrown);
    }
    const stayed = this.#stayed();
    const running = this.#moves.running();
    watching.abort();
    return {
      state: error !== null ? 'failed' : cancel.aborted ? 'cancelled' : stayed.length > 0 ? 'incomplete' : 'completed',
      arrived: this.#moves.arrived,
      stayed,
      running,
      error,
      totalMs: this.#port.nowMs() - startedAtMs,
      predictedMs: this.#predictedMs,
    };
  }

  async #goOn(watching: AbortSignal, cancel: AbortSignal): Promise<void> {
    const { planning } = this.#port;
    // Whoever cancels while hosts are asked has nothing begun any more.
    const plan = (look: SharedLook): Step =>
      cancel.aborted ? CANCELLED : this.#step(this.#port.picture(look), watching);
    while (!cancel.aborted) {
      const turn = planning.take(this.#planner, () => this.#port.look(), plan);
      const step = await unlessAborted(turn, cancel);
      if (step === null || step.isOver) return;
      await this.#somethingHappens(step.againInMs ?? LONGEST_WAIT_MS, cancel);
    }
  }

  /** Plans, and begins what is due. */
  #step(told: FleetPicture, watching: AbortSignal): Step {
    const { from, to, vms: only } = this.#request;
    const { planning } = this.#port;
    const picture = withArrivals(planning.complete(told, this.#planner), from, this.#moves.arrived);
    const nowMs = this.#port.nowMs();
    const isAsked = (vm: string): boolean => only === null || only.includes(vm);
    const isMeant = ({ name, host }: FleetVm): boolean => host === from && isAsked(name);
    this.#see(picture);
    this.#waits.look(picture.failures, nowMs);
    this.#waits.tellOfPartial(picture.partial);
    const silent = (name: string | null) => picture.failures.filter((silence) => silence.name === name);
    const refusal = [...silent(from), ...silent(to)].find(
      (each) => each.isRefusal && !this.#waits.mayPass(each, nowMs),
    );
    if (refusal) throw new GodwitError('GW_FLEET_HOST', { host: refusal.name, reason: refusal.failure });
    if (silent(from).length > 0) {
      this.#waits.tellOf(silent(from).map(sayThatSilent));
      return { ...NOTHING_BEGUN, againInMs: this.#port.lookAgainMs };
    }
    if (silent(to).length > 0) {
      const isOver = !this.#waits.isWorthWaiting(silent(to), nowMs) && this.#moves.count === 0;
      const [why] = silent(to).map(sayThatSilent);
      this.#refusals = new Map(this.#here.map(({ outlook: { name } }) => [name, `${name} is not started: ${why}`]));
      return { ...NOTHING_BEGUN, isOver, againInMs: this.#port.lookAgainMs };
    }
    const vms = settleVms(picture.base.vms, from, this.#moves);
    const underway = picture.underway.filter(({ vm }) => !this.#moves.isRunning(vm));
    const foreign = [
      ...this.#here.flatMap(({ outlook }) => (outlook.migration === null ? [] : [outlook.name])),
      ...underway.flatMap((each) => (each.from === from ? [each.vm] : [])),
    ].filter((vm) => isAsked(vm) && !this.#moves.isRunning(vm) && !this.#moves.hasArrived(vm));
    this.#foreign.look(foreign, from, picture);
    const leaving = new Set(vms.flatMap((vm) => (isMeant(vm) ? [vm.name] : [])));
    for (const vm of foreign) leaving.delete(vm);
    const bundles = picture.bundles.filter(({ host }) => host === from);
    const stalled = picture.underway.filter((each) => each.from === from && each.waitingFor !== null);
    this.#waits.tellOfStalled(stalled);
    const others = [...picture.closed].filter(([name]) => name !== from && (to === null || name === to));
    this.#waits.tellOfClosed(new Map(others));
    const wanted = [...leaving].map((vm) => this.#moveOf(vm, stalled, picture.closed));
    const moves = keepWhole(wanted, bundles, isAsked);
    const state = { ...picture.base, vms, moves };
    const plan = planBundled(state, bundles, (each) => nextPlan(withUnderway(each, underway), picture.contents));
    if (this.#predictedMs === null && moves.length > 0) this.#predictedMs = plan.makespanMs;
    this.#refusals = new Map(plan.refused.map(({ vm, why }) => [vm, explainRefusal(vm, why)]));
    this.#port.onEvent({ kind: 'planned', plan });
    this.#waits.tellOfMoments(plan);
    const due = dueNow(plan, bundles);
    for (const { moves: starting, region } of due) {
      const starts = starting.map((move) => {
        return { move, fleetVm: vms.find(({ name, host }) => name === move.vm && host === from)! };
      });
      if (region !== null) this.#moves.beginGroup(starts, region, groupRequestFor(starting, picture), watching);
      else this.#moves.begin(starts, ({ move }) => requestFor(move, picture, starts.length > 1), watching);
    }
    const isIdle = this.#moves.count === 0 && foreign.length === 0;
    // A silent host may have the room that there is not, and a migration of others may leave it, or fail.
    const lacksRoom = plan.refused.some(({ why }) => why.kind === 'noRoom' || why.kind === 'stuck');
    const couldHelp = lacksRoom ? picture.failures.filter(({ takesVms }) => takesVms && to === null) : [];
    const isHopeful =
      (lacksRoom && planning.doOthersMove(this.#planner, nowMs)) || this.#waits.isWorthWaiting(couldHelp, nowMs);
    const isWaiting = isIdle && plan.moves.length === 0 && isHopeful;
    const askAgainMs = plan.askAgainAtMs === null ? null : plan.askAgainAtMs - nowMs;
    const looksAgain = foreign.length > 0 || isWaiting || (isIdle && askAgainMs === null);
    return {
      hasBegun: due.length > 0,
      isOver: isIdle && plan.moves.length === 0 && !isWaiting,
      againInMs: looksAgain ? this.#port.lookAgainMs : askAgainMs,
    };
  }

  #see(picture: FleetPicture): void {
    const { from, vms } = this.#request;
    this.#hasSeen = true;
    this.#here = picture.vms.filter(({ fleetVm: { name, host } }) => host === from && (vms?.includes(name) ?? true));
    this.#listed = new Set(picture.vms.map(({ fleetVm }) => fleetVm.name));
  }

  #moveOf(vm: string, stalled: readonly UnderwayMove[], closed: FleetPicture['closed']): Move {
    const { to, deadlineAtMs, startedAtMs: wantedSinceMs } = this.#request;
    const own = this.#request.skip?.get(vm) ?? this.#here.find(({ fleetVm }) => fleetVm.name === vm)?.obstacle ?? null;
    // What is on its way there already goes on.
    const why = to === null ? undefined : closed.get(to);
    const obstacle = own ?? (why === undefined ? null : `${to} gets no VMs: ${why}`);
    const isStalled = stalled.some((each) => each.vm === vm);
    return { vm, to, deadlineAtMs, wantedSinceMs, state: this.#moves.stateOf(vm, obstacle, isStalled) };
  }

  #stayed(): EvacuationOutcome['stayed'] {
    // What has failed and is nowhere must not be taken for gone.
    const lost = this.#moves.failed().filter((vm) => !this.#listed.has(vm));
    return [...this.#here.map(({ outlook }) => outlook.name), ...lost].flatMap((vm) => {
      if (this.#moves.isRunning(vm) || this.#moves.hasArrived(vm) || this.#foreign.has(vm)) return [];
      const failure = this.#moves.reasonOf(vm);
      const since = failure === null ? `${vm} was not begun` : `${vm} failed (${failure})`;
      return [{ vm, reason: this.#refusals.get(vm) ?? since }];
    });
  }

  /** A migration ends, the time has come to plan again, or it is cancelled. */
  async #somethingHappens(withinMs: number, signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    const either = AbortSignal.any([signal, over.signal]);
    const time = delay(Math.max(0, withinMs), undefined, { signal: either }).catch(() => undefined);
    await Promise.race([this.#happened.promise, time]);
    over.abort();
    this.#happened = Promise.withResolvers<void>();
  }

  async #cancelAll(leave: AbortSignal): Promise<void> {
    const untilMs = this.#port.nowMs() + LONGEST_CANCEL_MS;
    while (this.#moves.count > 0 && !leave.aborted && this.#port.nowMs() < untilMs) {
      this.#moves.cancel();
      await this.#somethingHappens(this.#port.lookAgainMs, leave);
    }
  }
}
