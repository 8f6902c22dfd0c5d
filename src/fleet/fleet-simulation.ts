/**
 * An evacuation as it would go, by a model: what strategies are compared on.
 *
 * Owns: the model of hosts that send and VMs that write. It shares nothing with the planner's predictions but the shape of
 * the dirty curve: rounds are counted through, bandwidth is shared fairly by all who use a port or a link, VMs in a rhythm are
 * in their true phase, links and VMs differ from what is known of them by chance. Pure. Must hold: the same seed gives the same
 * run; it ends where a strategy starts nothing more and does not ask to be asked again.
 */
import { type Random, randomFrom } from '../base/random.ts';
import { dirtyAfter, scaleCurve } from '../migration/dirty-curve.ts';
import type { FleetContents } from './fleet-contents.ts';
import type { FleetState, FleetVm, Move, Route } from './fleet-state.ts';
import { SimulatedContents } from './simulated-contents.ts';
import { shareFairly } from './simulated-network.ts';

export interface SimulatedVm {
  /** As the planner knows it. */
  readonly vm: FleetVm;
  /** It does write in a rhythm, whether the planner knows or not. */
  readonly isPeriodic: boolean;
  /** How much more than on average it writes at a moment. */
  writingAt(atMs: number): number;
}

/** What a migration really finds on its way. */
export interface SimulatedWay {
  /** More goes through no way, whatever its ports have. */
  readonly mostBytesPerSecond: number;
  /** Of a page at first, and of one that is sent again. */
  readonly wholeBytes: number;
  readonly resentBytes: number;
  /** Naming a page that the destination holds takes so long, and no longer than sending it. */
  readonly namingMs: number;
  readonly preparingMs: number;
  readonly fixedDowntimeMs: number;
  readonly endingMs: number;
  /** How many times as long a page takes in post-copy. */
  readonly pushFactor: number;
}

export interface SimulatedFleet {
  /** As the planner is told at first, with the moves that are wanted. */
  readonly state: FleetState;
  readonly contents: FleetContents;
  readonly vms: readonly SimulatedVm[];
  way(vm: FleetVm, to: string): SimulatedWay;
}

/** What a strategy wants to be started at a moment. */
export interface Start extends Route {
  readonly vm: string;
  readonly predictedMs: { readonly p10: number; readonly p50: number; readonly p90: number } | null;
  readonly bytesPerSecond: number;
}

export interface Decision {
  readonly start: readonly Start[];
  /** Unix milliseconds; null: when something has ended. */
  readonly askAgainAtMs: number | null;
}

export type Strategy = (state: FleetState) => Decision;

export interface SimulatedMove extends Start {
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly bytes: number;
  readonly downtimeMs: number;
  readonly isPostCopied: boolean;
}

export interface SimulatedRun {
  readonly moves: readonly SimulatedMove[];
  /** VMs that the strategy never started. */
  readonly stayed: readonly string[];
}

interface Flow {
  readonly start: Start;
  readonly simulated: SimulatedVm;
  readonly way: SimulatedWay;
  readonly startedAtMs: number;
  /** Of nominal bandwidth, and of the known writing. */
  readonly linkFactor: number;
  readonly writeFactor: number;
  bytes: number;
  roundStartedAtMs: number;
  leftBytes: number;
  roundPages: number;
  rounds: number;
  /** Of its vCPUs. */
  speed: number;
  rate: number;
  phase: 'preparing' | 'naming' | 'round' | 'postCopy';
  /** Of a phase that sends nothing. */
  endsAtMs: number;
}

const NAME_BYTES = 20;
const STALLED_PART = 0.7;
/** A VM that may not end in post-copy is slowed to this part in each round that stalls. */
const SLOWED_PART = 0.5;
/** Then it is stopped, for however long the rest takes. */
const MOST_ROUNDS = 30;
const TINY = 1e-6;

export function simulate(fleet: SimulatedFleet, strategy: Strategy, seed: number): SimulatedRun {
  const { state: begin, vms } = fleet;
  const random = randomFrom(seed);
  const hosts = new Map(begin.hosts.map((host) => [host.name, host]));
  const byName = new Map(vms.map((simulated) => [simulated.vm.name, simulated]));
  const hostOf = new Map(begin.vms.map(({ name, host }) => [name, host]));
  const held = new SimulatedContents(fleet.contents, begin.vms);
  const waiting = new Map(begin.moves.map((move) => [move.vm, move]));
  const ended: SimulatedMove[] = [];
  let flows: Flow[] = [];
  let nowMs = begin.nowMs;
  while (waiting.size > 0 || flows.length > 0) {
    const decision = strategy(stateNow());
    for (const start of decision.start) {
      waiting.delete(start.vm);
      const simulated = byName.get(start.vm)!;
      flows.push(begun(start, simulated, fleet.way(simulated.vm, start.to), nowMs, random));
    }
    const before = ended.length;
    const wakeMs = decision.askAgainAtMs ?? Number.POSITIVE_INFINITY;
    if (flows.length === 0 && !Number.isFinite(wakeMs)) break;
    while (ended.length === before && nowMs < wakeMs) {
      shareFairly(flows.filter(sends), begin);
      const nextMs = Math.min(wakeMs, ...flows.map(endOfPhase));
      for (const flow of flows) if (sends(flow)) flow.leftBytes -= (flow.rate * (nextMs - nowMs)) / 1000;
      nowMs = nextMs;
      const due = flows.filter((flow) => endOfPhase(flow) <= nowMs + TINY);
      const over = new Set(due.filter((flow) => !goesOn(flow)));
      flows = flows.filter((flow) => !over.has(flow));
    }
  }
  return { moves: ended, stayed: [...waiting.keys()] };

  function stateNow(): FleetState {
    const running = flows.map(({ start, startedAtMs }): Move => {
      const endsAtMs = startedAtMs + (start.predictedMs?.p50 ?? 0);
      const { vm, to, bytesPerSecond } = start;
      const state = { kind: 'running', to, bytesPerSecond, endsAtMs } as const;
      return { vm, to, deadlineAtMs: null, wantedSinceMs: begin.nowMs, state };
    });
    const located = begin.vms.map((vm): FleetVm => ({ ...vm, host: hostOf.get(vm.name)! }));
    return { ...begin, nowMs, vms: located, moves: [...running, ...waiting.values()] };
  }

  function endOfPhase(flow: Flow): number {
    return sends(flow) ? nowMs + (Math.max(0, flow.leftBytes) * 1000) / flow.rate : flow.endsAtMs;
  }

  /** A phase of its migration is over; false: and so is the migration. */
  function goesOn(flow: Flow): boolean {
    const { start, way } = flow;
    const { vm, writingAt } = flow.simulated;
    if (flow.phase === 'preparing') {
      const heldPages = vm.dataPages * held.partOf(vm.name, start.to);
      const isPushed = vm.options.mode === 'post-copy';
      const bytes = heldPages * NAME_BYTES + (vm.dataPages - heldPages) * way.wholeBytes;
      flow.roundPages = vm.dataPages;
      beginRound(flow, isPushed ? bytes * way.pushFactor : bytes, isPushed ? 'postCopy' : 'round');
      if (isPushed) return true;
      flow.phase = 'naming';
      flow.endsAtMs = nowMs + heldPages * namingMs(flow);
      return true;
    }
    if (flow.phase === 'naming') {
      flow.phase = 'round';
      return true;
    }
    if (flow.phase === 'postCopy') return end(flow, way.fixedDowntimeMs, true);
    const seconds = (nowMs - flow.roundStartedAtMs) / 1000;
    const writing = flow.writeFactor * writingAt((nowMs + flow.roundStartedAtMs) / 2);
    const dirty = dirtyAfter(scaleCurve(vm.curve, writing), seconds * flow.speed);
    const lastMs = (dirty * way.resentBytes * 1000) / flow.rate;
    if (way.fixedDowntimeMs + lastMs <= vm.options.maxDowntimeMs || flow.rounds === MOST_ROUNDS) {
      flow.bytes += dirty * way.resentBytes;
      return end(flow, way.fixedDowntimeMs + lastMs, false);
    }
    const isStalled = dirty > flow.roundPages * STALLED_PART;
    const isPushed = isStalled && vm.canPostCopy;
    if (isStalled && !isPushed && vm.canThrottle) flow.speed *= SLOWED_PART;
    flow.roundPages = dirty;
    beginRound(flow, dirty * way.resentBytes * (isPushed ? way.pushFactor : 1), isPushed ? 'postCopy' : 'round');
    return true;
  }

  /** Of one page. */
  function namingMs({ start, way }: Flow): number {
    const { sendBytesPerSecond } = hosts.get(start.from)!;
    const { receiveBytesPerSecond } = hosts.get(start.to)!;
    const most = Math.min(sendBytesPerSecond, receiveBytesPerSecond, way.mostBytesPerSecond);
    return Math.min(way.namingMs, (way.wholeBytes * 1000) / most);
  }

  function beginRound(flow: Flow, bytes: number, phase: 'round' | 'postCopy'): void {
    flow.phase = phase;
    flow.roundStartedAtMs = nowMs;
    flow.rounds++;
    flow.leftBytes = bytes;
    flow.bytes += bytes;
  }

  function end({ start, way, startedAtMs, bytes }: Flow, downtimeMs: number, isPostCopied: boolean): false {
    held.arrive(start.vm, start.to);
    hostOf.set(start.vm, start.to);
    const endedAtMs = nowMs + downtimeMs + way.endingMs;
    ended.push({ ...start, startedAtMs, endedAtMs, bytes, downtimeMs, isPostCopied });
    return false;
  }
}

function sends({ phase }: Flow): boolean {
  return phase === 'round' || phase === 'postCopy';
}

function begun(start: Start, simulated: SimulatedVm, way: SimulatedWay, nowMs: number, random: Random): Flow {
  const normal = (): number => random() + random() + random() + random() - 2;
  return {
    start,
    simulated,
    way,
    startedAtMs: nowMs,
    linkFactor: Math.exp(0.1 * normal()),
    writeFactor: Math.exp(0.3 * normal()),
    bytes: 0,
    roundStartedAtMs: nowMs,
    leftBytes: 0,
    roundPages: 0,
    rounds: 0,
    speed: 1,
    rate: 1,
    phase: 'preparing',
    endsAtMs: nowMs + way.preparingMs,
  };
}
