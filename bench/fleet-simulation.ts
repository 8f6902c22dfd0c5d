/**
 * An evacuation as it would go, by a model: what strategies are compared on.
 *
 * Owns: the model of hosts that send and VMs that write. It shares nothing with the planner's predictions but the shape of
 * the dirty curve: rounds are counted through, bandwidth is shared fairly by all who use a port, VMs in a rhythm are in
 * their true phase, links and VMs differ from what is known of them by chance. Must hold: the same seed gives the same run.
 */
import type { FleetState, FleetVm, Move, Route } from '../src/fleet/fleet-state.ts';
import { dirtyAfter, scaleCurve } from '../src/migration/dirty-curve.ts';
import { type Random, randomFrom, rhythmAt, type SyntheticVm } from '../test/support/synthetic-fleet.ts';

/** What a strategy wants to be started at a moment. */
export interface Start extends Route {
  readonly vm: string;
  readonly predictedMs: { readonly p10: number; readonly p50: number; readonly p90: number } | null;
  readonly bytesPerSecond: number;
}

export interface Decision {
  readonly start: readonly Start[];
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

interface Flow {
  readonly start: Start;
  readonly vm: SyntheticVm;
  readonly startedAtMs: number;
  /** Of nominal bandwidth, and of the known writing. */
  readonly linkFactor: number;
  readonly writeFactor: number;
  bytes: number;
  roundStartedAtMs: number;
  leftBytes: number;
  roundPages: number;
  rate: number;
  phase: 'preparing' | 'round' | 'postCopy';
}

const WHOLE_BYTES = 4112 * 0.6;
const RESENT_BYTES = WHOLE_BYTES * 0.7;
const NAME_BYTES = 20;
const PREPARING_MS = 200;
const ENDING_MS = 40;
const FIXED_DOWNTIME_MS = 15;
const MAX_DOWNTIME_MS = 50;
const STALLED_PART = 0.7;
const PUSH_FACTOR = 1.2;
const TINY = 1e-6;

export function simulate(
  begin: FleetState,
  vms: readonly SyntheticVm[],
  strategy: Strategy,
  seed: number,
): SimulatedMove[] {
  const random = randomFrom(seed);
  const byName = new Map(vms.map((vm) => [vm.vm.name, vm]));
  const hostOf = new Map(begin.vms.map(({ name, host }) => [name, host]));
  const held = new Map(begin.hosts.map(({ name }) => [name, new Set<number>()]));
  for (const { vm, contents } of vms) for (const key of contents.sample.keys) held.get(vm.host)!.add(key);
  const waiting = new Map(begin.moves.map((move) => [move.vm, move]));
  const ended: SimulatedMove[] = [];
  let flows: Flow[] = [];
  let nowMs = begin.nowMs;
  while (waiting.size > 0 || flows.length > 0) {
    const decision = strategy(stateNow());
    for (const start of decision.start) {
      waiting.delete(start.vm);
      flows.push(begun(start, byName.get(start.vm)!, nowMs, random));
    }
    const before = ended.length;
    const wakeMs = decision.askAgainAtMs ?? Number.POSITIVE_INFINITY;
    if (flows.length === 0 && !Number.isFinite(wakeMs)) throw new Error(`${waiting.size} VMs are never started`);
    while (ended.length === before && nowMs < wakeMs) {
      shareFairly(flows, begin);
      const nextMs = Math.min(wakeMs, ...flows.map(endOfPhase));
      for (const flow of flows) {
        if (flow.phase !== 'preparing') flow.leftBytes -= (flow.rate * (nextMs - nowMs)) / 1000;
      }
      nowMs = nextMs;
      for (const flow of flows) if (endOfPhase(flow) <= nowMs + TINY) goOn(flow);
      flows = flows.filter((flow) => !ended.some(({ vm }) => vm === flow.start.vm));
    }
  }
  return ended;

  function stateNow(): FleetState {
    const running = flows.map(({ start, startedAtMs }): Move => {
      const endsAtMs = startedAtMs + (start.predictedMs?.p50 ?? 0);
      const { vm, to, bytesPerSecond } = start;
      return { vm, to, deadlineAtMs: null, state: { kind: 'running', to, bytesPerSecond, endsAtMs } };
    });
    const located = begin.vms.map((vm): FleetVm => ({ ...vm, host: hostOf.get(vm.name)! }));
    return { ...begin, nowMs, vms: located, moves: [...running, ...waiting.values()] };
  }

  function endOfPhase({ phase, startedAtMs, leftBytes, rate }: Flow): number {
    return phase === 'preparing' ? startedAtMs + PREPARING_MS : nowMs + (Math.max(0, leftBytes) * 1000) / rate;
  }

  /** A phase of its migration is over. */
  function goOn(flow: Flow): void {
    const { vm, start } = flow;
    if (flow.phase === 'preparing') {
      const { keys, counts } = vm.contents.sample;
      let [names, pages] = [0, 0];
      keys.forEach((key, i) => {
        pages += counts[i]!;
        if (held.get(start.to)!.has(key)) names += counts[i]!;
      });
      const heldPages = (vm.vm.dataPages * names) / pages;
      flow.roundPages = vm.vm.dataPages;
      beginRound(flow, heldPages * NAME_BYTES + (vm.vm.dataPages - heldPages) * WHOLE_BYTES);
      return;
    }
    if (flow.phase === 'postCopy') {
      end(flow, FIXED_DOWNTIME_MS, true);
      return;
    }
    const seconds = (nowMs - flow.roundStartedAtMs) / 1000;
    const curve = scaleCurve(vm.vm.curve, flow.writeFactor * rhythmAt(vm, (nowMs + flow.roundStartedAtMs) / 2));
    const dirty = dirtyAfter(curve, seconds);
    const lastMs = (dirty * RESENT_BYTES * 1000) / flow.rate;
    if (FIXED_DOWNTIME_MS + lastMs <= MAX_DOWNTIME_MS) {
      flow.bytes += dirty * RESENT_BYTES;
      end(flow, FIXED_DOWNTIME_MS + lastMs, false);
      return;
    }
    const isStalled = dirty > flow.roundPages * STALLED_PART;
    flow.roundPages = dirty;
    beginRound(flow, dirty * RESENT_BYTES * (isStalled ? PUSH_FACTOR : 1));
    if (isStalled) flow.phase = 'postCopy';
  }

  function beginRound(flow: Flow, bytes: number): void {
    flow.phase = 'round';
    flow.roundStartedAtMs = nowMs;
    flow.leftBytes = bytes;
    flow.bytes += bytes;
  }

  function end({ start, vm, startedAtMs, bytes }: Flow, downtimeMs: number, isPostCopied: boolean): void {
    for (const key of vm.contents.sample.keys) held.get(start.to)!.add(key);
    hostOf.set(start.vm, start.to);
    ended.push({ ...start, startedAtMs, endedAtMs: nowMs + downtimeMs + ENDING_MS, bytes, downtimeMs, isPostCopied });
  }
}

function begun(start: Start, vm: SyntheticVm, nowMs: number, random: Random): Flow {
  const normal = (): number => random() + random() + random() + random() - 2;
  return {
    start,
    vm,
    startedAtMs: nowMs,
    linkFactor: Math.exp(0.1 * normal()),
    writeFactor: Math.exp(0.3 * normal()),
    bytes: 0,
    roundStartedAtMs: nowMs,
    leftBytes: 0,
    roundPages: 0,
    rate: 1,
    phase: 'preparing',
  };
}

/** Max-min: the port with least for each of its flows is divided first. */
function shareFairly(flows: readonly Flow[], { hosts }: FleetState): void {
  const open = new Set(flows.filter(({ phase }) => phase !== 'preparing'));
  const ports = hosts.flatMap(({ name, sendBytesPerSecond, receiveBytesPerSecond }) => [
    { left: sendBytesPerSecond, uses: ({ start }: Flow) => start.from === name },
    { left: receiveBytesPerSecond, uses: ({ start }: Flow) => start.to === name },
  ]);
  while (open.size > 0) {
    let tightest = { share: Number.POSITIVE_INFINITY, flows: [...open] };
    for (const { left, uses } of ports) {
      const using = [...open].filter(uses);
      if (using.length > 0 && left / using.length < tightest.share)
        tightest = { share: left / using.length, flows: using };
    }
    for (const flow of tightest.flows) {
      flow.rate = Math.max(1, tightest.share * Math.min(1, flow.linkFactor));
      open.delete(flow);
      for (const port of ports) if (port.uses(flow)) port.left -= tightest.share;
    }
  }
}
