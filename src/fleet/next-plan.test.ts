import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type FleetSpec,
  isBusy,
  NOW_MS,
  type SyntheticVm,
  syntheticState,
  syntheticVms,
  waitingMove,
} from '../../test/support/synthetic-fleet.ts';
import { type FleetContents, joinContents } from './fleet-contents.ts';
import { DEFAULT_POLICY, type FleetHost, type FleetPolicy, type FleetState, type Move } from './fleet-state.ts';
import { nextPlan } from './next-plan.ts';
import { createPageSample } from './page-sample.ts';
import type { FleetPlan, PlannedMove } from './plan.ts';

const GIBIBYTE = 2 ** 30;
const host = (name: string, gibibytes: number, takesVms = true): FleetHost => ({
  name,
  memoryBytes: gibibytes * GIBIBYTE,
  sendBytesPerSecond: 1e8,
  receiveBytesPerSecond: 1e8,
  takesVms,
});
const EVACUATION: FleetSpec = {
  seed: 1,
  vmCount: 10,
  images: 2,
  ramBytes: GIBIBYTE,
  imagePart: 0.7,
  hosts: [host('a', 20, false), host('b', 20), host('c', 20)],
  on: ['a'],
  linkBytesPerSecond: 1e8,
};

interface Fleet {
  readonly spec: FleetSpec;
  readonly vms: readonly SyntheticVm[];
  readonly state: FleetState;
  readonly contents: FleetContents;
}

function fleetOf(change: Partial<FleetSpec> = {}, policy: Partial<FleetPolicy> = {}): Fleet {
  const spec = { ...EVACUATION, ...change };
  const vms = syntheticVms(spec);
  const moves = vms.filter(({ vm }) => vm.host === 'a').map(({ vm }) => waitingMove(vm.name));
  const plain = syntheticState(
    spec,
    vms.map(({ vm }) => vm),
    moves,
  );
  const state = { ...plain, policy: { ...DEFAULT_POLICY, ...policy } };
  return { spec, vms, state, contents: joinContents(vms.map((each) => each.contents)) };
}

function planOf({ state, contents }: Fleet, change: Partial<FleetState> = {}): FleetPlan {
  return nextPlan({ ...state, ...change }, contents);
}

/** Everything that must hold of any plan. */
function expectSound(state: FleetState, plan: FleetPlan): void {
  const running = state.moves.flatMap(({ vm, state: move }) => (move.kind === 'running' ? [{ vm, ...move }] : []));
  const told = [...new Set([...plan.moves, ...plan.refused, ...running].map(({ vm }) => vm))].sort();
  const asked = state.moves.filter(({ vm, to }) => state.vms.find(({ name }) => name === vm)?.host !== to);
  expect(told).toEqual(asked.map(({ vm }) => vm).sort());
  expect(plan.makespanMs).toBeGreaterThanOrEqual(plan.lowerBoundMs - 1);
  const moments = [...new Set(plan.moves.flatMap(({ startsAtMs, endsAtMs }) => [startsAtMs, endsAtMs]))];
  for (const atMs of moments) {
    const during = plan.moves.filter(({ startsAtMs, endsAtMs }) => startsAtMs <= atMs && atMs < endsAtMs);
    for (const { name, memoryBytes, sendBytesPerSecond, receiveBytesPerSecond } of state.hosts) {
      expect(usedBytes(state, plan.moves, name, atMs)).toBeLessThanOrEqual(memoryBytes);
      const rate = (moves: readonly PlannedMove[]): number => moves.reduce((sum, each) => sum + each.bytesPerSecond, 0);
      expect(rate(during.filter(({ from }) => from === name))).toBeLessThanOrEqual(sendBytesPerSecond * 1.000001);
      expect(rate(during.filter(({ to }) => to === name))).toBeLessThanOrEqual(receiveBytesPerSecond * 1.000001);
    }
  }
}

/** A VM takes memory where it is until it has left, and where it goes from its start on. */
function usedBytes(state: FleetState, moves: readonly PlannedMove[], name: string, atMs: number): number {
  const ram = new Map(state.vms.map((vm) => [vm.name, vm.ramBytes]));
  const here = state.vms.filter((vm) => vm.host === name).reduce((sum, { ramBytes }) => sum + ramBytes, 0);
  const came = moves.filter(({ to, startsAtMs }) => to === name && startsAtMs <= atMs);
  const left = moves.filter(({ from, endsAtMs }) => from === name && endsAtMs <= atMs);
  const bytes = (all: readonly PlannedMove[]): number => all.reduce((sum, { vm }) => sum + ram.get(vm)!, 0);
  return here + bytes(came) - bytes(left);
}

describe('any plan', () => {
  test('accounts for every move, over-commits nothing, and is no better than the bound', () => {
    const numbers = fc.record({
      seed: fc.nat({ max: 1000 }),
      vmCount: fc.integer({ min: 1, max: 14 }),
      images: fc.integer({ min: 1, max: 4 }),
      room: fc.integer({ min: 3, max: 16 }),
      grouping: fc.constantFrom('none' as const, 'pairs' as const, 'representatives' as const),
      objective: fc.constantFrom('shortest' as const, 'makespan' as const, 'deadline' as const),
    });
    fc.assert(
      fc.property(numbers, ({ seed, vmCount, images, room, grouping, objective }) => {
        const hosts = [host('a', 20), host('b', room), host('c', room)];
        const fleet = fleetOf(
          { seed, vmCount, images, hosts, on: ['a', 'b', 'a'], ramBytes: GIBIBYTE / 4 },
          { grouping, objective },
        );
        // Those on a go anywhere, those on b to a: swaps.
        const moves = fleet.vms.map(({ vm }) => waitingMove(vm.name, vm.host === 'b' ? 'a' : null));
        const state = { ...fleet.state, moves };
        expectSound(state, nextPlan(state, fleet.contents));
      }),
      { numRuns: 40 },
    );
  });

  test('is the same for the same state', () => {
    const fleet = fleetOf();
    expect(planOf(fleet)).toEqual(planOf(fleet));
  });

  test('of nothing is nothing', () => {
    const plan = planOf(fleetOf(), { moves: [] });
    expect([plan.moves, plan.refused, plan.makespanMs, plan.askAgainAtMs]).toEqual([[], [], 0, null]);
  });

  test('of an evacuation without rhythms is over within 1.25 times the bound', () => {
    const plan = planOf(
      fleetOf({ vmCount: 30, hosts: [host('a', 40, false), host('b', 40), host('c', 40)] }, { maxQuietWaitMs: 0 }),
    );
    expect(plan.refused).toEqual([]);
    expect(plan.makespanMs / plan.lowerBoundMs).toBeLessThan(1.25);
  });
});

describe('step by step', () => {
  test('a fleet is evacuated, the rest being planned anew after each end, and what was brought is not brought again', () => {
    const { state: first, contents } = fleetOf({}, { maxQuietWaitMs: 0 });
    let state = first;
    const done: PlannedMove[] = [];
    for (let step = 0; step < 30 && state.moves.length > 0; step++) {
      const plan = nextPlan(state, contents);
      expectSound(state, plan);
      const next = plan.moves.find(({ wait }) => wait === null)!;
      done.push(next);
      const vms = state.vms.map((vm) => (vm.name === next.vm ? { ...vm, host: next.to } : vm));
      state = { ...state, nowMs: next.endsAtMs, vms, moves: state.moves.filter(({ vm }) => vm !== next.vm) };
    }
    expect(state.moves).toEqual([]);
    const shares = done.map(({ prediction: { pages } }) => pages.heldPages / (pages.heldPages + pages.newPages));
    // Two images: the first VM of each brings it.
    expect(shares.filter((share) => share < 0.3).length).toBeLessThanOrEqual(4);
    expect(Math.max(...shares)).toBeGreaterThan(0.5);
  });

  test('what is running keeps its bandwidth and its memory', () => {
    const fleet = fleetOf({ vmCount: 3, hosts: [host('a', 20, false), host('b', 2)] }, { maxQuietWaitMs: 0 });
    const [first, ...others] = fleet.state.moves;
    const running: Move = {
      ...first!,
      state: { kind: 'running', to: 'b', bytesPerSecond: 1e8, endsAtMs: NOW_MS + 5000 },
    };
    const plan = planOf(fleet, { moves: [running, ...others] });
    expect(plan.moves.map(({ startsAtMs }) => startsAtMs)).toEqual([NOW_MS + 5000]);
    expect(plan.moves[0]!.wait).toMatchObject({ kind: 'bandwidth', behind: [first!.vm] });
    expect(plan.refused).toMatchObject([{ why: { kind: 'noRoom' } }]);
  });

  test('a follower waits for who brings what both have, also where there is bandwidth for both', () => {
    const wide = [host('a', 20, false), host('b', 20)].map((each) => ({
      ...each,
      sendBytesPerSecond: 1e10,
      receiveBytesPerSecond: 1e10,
    }));
    const fleet = fleetOf({ vmCount: 4, images: 1, imagePart: 0.95, hosts: wide }, { maxQuietWaitMs: 0 });
    const plan = planOf(fleet);
    expect(plan.moves.filter(({ wait }) => wait === null)).toHaveLength(1);
    expect(plan.moves[1]!.wait).toEqual({ kind: 'contents', vm: plan.moves[0]!.vm });
    // Once it is there all others go at once.
    expect(new Set(plan.moves.slice(1).map(({ startsAtMs }) => startsAtMs)).size).toBe(1);
  });

  test('a VM that failed rests, for longer each time, and is left alone after the third', () => {
    const fleet = fleetOf({ vmCount: 3 }, { maxQuietWaitMs: 0 });
    const failed = (attempts: number): Move['state'] => ({
      kind: 'failed',
      to: 'b',
      atMs: NOW_MS,
      attempts,
      reason: 'link cut',
    });
    const moves = fleet.state.moves.map((move, i) => ({ ...move, state: failed(i + 1) }));
    const plan = planOf(fleet, { moves });
    expect(plan.moves.map(({ startsAtMs }) => startsAtMs - NOW_MS)).toEqual([30_000, 60_000]);
    expect(plan.refused).toEqual([{ vm: moves[2]!.vm, why: { kind: 'failed', attempts: 3, reason: 'link cut' } }]);
    expect(plan.askAgainAtMs).toBe(NOW_MS + 30_000);
  });

  test('a VM goes where it failed to get to only if no other host has room', () => {
    const fleet = fleetOf({ vmCount: 4 }, { maxQuietWaitMs: 0 });
    const failedAt = (to: string): Move[] =>
      fleet.state.moves.map((move) => ({
        ...move,
        state: { kind: 'failed', to, atMs: NOW_MS, attempts: 1, reason: 'link cut' },
      }));
    const goTo = (moves: Move[], hosts = fleet.state.hosts): string[] =>
      [...new Set(planOf(fleet, { moves, hosts }).moves.map(({ to }) => to))].sort();
    expect(goTo(failedAt('b'))).toEqual(['c']);
    expect(goTo(failedAt('c'))).toEqual(['b']);
    expect(
      goTo(
        failedAt('b'),
        fleet.state.hosts.filter(({ name }) => name !== 'c'),
      ),
    ).toEqual(['b']);
  });

  test('a parked VM stays, and what is there already is no move', () => {
    const fleet = fleetOf({ vmCount: 2 });
    const [one, other] = fleet.state.moves;
    const moves: Move[] = [
      { ...one!, state: { kind: 'parked', reason: 'by hand' } },
      { ...other!, to: 'a' },
    ];
    const plan = planOf(fleet, { moves });
    expect(plan.moves).toEqual([]);
    expect(plan.refused).toEqual([{ vm: one!.vm, why: { kind: 'parked', reason: 'by hand' } }]);
  });
});

describe('VMs in a rhythm', () => {
  test('start in their quiet phase, the others go meanwhile', () => {
    const fleet = fleetOf({ vmCount: 15, hosts: [host('a', 20, false), host('b', 20)] });
    const plan = planOf(fleet);
    const periodic = fleet.vms.filter(({ workload, vm }) => workload === 'periodic' && vm.period);
    expect(periodic.length).toBeGreaterThan(1);
    for (const each of periodic) {
      const move = plan.moves.find(({ vm }) => vm === each.vm.name)!;
      expect(isBusy(each, move.startsAtMs)).toBe(false);
    }
    const starts = plan.moves.filter(({ wait }) => wait === null);
    expect(starts.length).toBeGreaterThan(0);
    expect(plan.moves.some(({ wait }) => wait?.kind === 'quiet')).toBe(true);
    expect(plan.askAgainAtMs).toBeGreaterThan(NOW_MS);
  });

  test('do not wait where they may not, nor beyond their deadline', () => {
    const workloads = ['periodic'] as const;
    const impatient = planOf(fleetOf({ vmCount: 6, workloads }, { maxQuietWaitMs: 0 }));
    expect(impatient.moves.filter(({ wait }) => wait?.kind === 'quiet')).toEqual([]);
    const fleet = fleetOf({ vmCount: 6, workloads });
    const moves = fleet.state.moves.map((move) => ({ ...move, deadlineAtMs: NOW_MS + 60_000 }));
    const urgent = planOf(fleet, { moves });
    expect(Math.max(...urgent.moves.map(({ endsAtMs }) => endsAtMs))).toBeLessThan(NOW_MS + 60_000);
  });
});

describe('memory', () => {
  /** Two full hosts, each VM to the other. */
  const swap = (third: FleetHost[]): [FleetState, FleetContents] => {
    const fleet = fleetOf(
      { vmCount: 4, hosts: [host('a', 2), host('b', 2), ...third], on: ['a', 'b'] },
      { maxQuietWaitMs: 0 },
    );
    const moves = fleet.vms.map(({ vm }) => waitingMove(vm.name, vm.host === 'a' ? 'b' : 'a'));
    return [{ ...fleet.state, moves }, fleet.contents];
  };

  test('of two full hosts is swapped over a third, by one VM', () => {
    const [state, contents] = swap([host('spare', 1)]);
    const plan = nextPlan(state, contents);
    expectSound(state, plan);
    expect(plan.refused).toEqual([]);
    const detours = plan.moves.filter(({ detourTo }) => detourTo !== null);
    expect(detours).toHaveLength(1);
    expect(detours[0]).toMatchObject({ to: 'spare', wait: null });
    expect(plan.moves.filter(({ vm }) => vm === detours[0]!.vm).map(({ to }) => to)).toEqual([
      'spare',
      detours[0]!.detourTo,
    ]);
    expect(plan.moves).toHaveLength(5);
  });

  test('without a third nothing is started, and it is said why', () => {
    const [state, contents] = swap([host('small', 0.5)]);
    const plan = nextPlan(state, contents);
    expect(plan.moves).toEqual([]);
    expect(plan.refused.map(({ why }) => why)).toMatchObject(
      Array(4).fill({ kind: 'stuck', wait: { kind: 'memory' } }),
    );
  });

  test('that no host has is a refusal of those for which there is none', () => {
    const plan = planOf(fleetOf({ vmCount: 5, hosts: [host('a', 20, false), host('b', 3.5)] }));
    expect(plan.moves).toHaveLength(3);
    expect(plan.refused).toHaveLength(2);
    expect(plan.refused[0]!.why).toEqual({ kind: 'noRoom', neededBytes: GIBIBYTE, freeBytes: GIBIBYTE / 2 });
  });

  test('of a VM that has to stay is not given to others', () => {
    const fleet = fleetOf({ vmCount: 2, hosts: [host('a', 1), host('b', 1.5)], on: ['a', 'b'] });
    const [onA, onB] = fleet.vms.map(({ vm }) => vm.name);
    // b has no room for the first, which therefore stays, so that a has none for the second.
    const vms = fleet.state.vms.map((vm) => (vm.name === onA ? { ...vm, ramBytes: 2 * GIBIBYTE } : vm));
    const moves = [waitingMove(onA!, 'b'), waitingMove(onB!, 'a')];
    const plan = planOf(fleet, { vms, moves, hosts: [host('a', 2), host('b', 1.5)] });
    expect(plan.refused.map(({ vm, why }) => [vm, why.kind])).toEqual([
      [onA, 'noRoom'],
      [onB, 'noRoom'],
    ]);
  });

  test('of VMs that share some goes to one host', () => {
    const fleet = fleetOf({ vmCount: 4, images: 4, hosts: [host('a', 20, false), host('b', 3), host('c', 3)] });
    const ring = [{ name: 'ring', pages: 1000 }];
    const contents = joinContents(
      fleet.vms.map((each, i) => ({ ...each.contents, regions: i === 0 || i === 3 ? ring : [] })),
    );
    const plan = nextPlan(fleet.state, contents);
    const to = (i: number): string => plan.moves.find(({ vm }) => vm === fleet.vms[i]!.vm.name)!.to;
    expect(to(0)).toBe(to(3));
  });
});

describe('a destination', () => {
  test('is one for each group where the source is the bottleneck', () => {
    const hosts = [host('a', 40, false), ...['b', 'c', 'd'].map((name) => host(name, 40))];
    const fleet = fleetOf({ vmCount: 18, images: 3, hosts, workloads: ['idle'] });
    const plan = planOf(fleet);
    expect(plan.groups).toHaveLength(3);
    const imageOf = (name: string): number => fleet.vms.find(({ vm }) => vm.name === name)!.image;
    for (const { vms } of plan.groups) expect(new Set(vms.map(imageOf)).size).toBe(1);
  });

  test('gets the VM first that holds most of what the others hold, and then who brings least', () => {
    const fleet = fleetOf({ vmCount: 3, workloads: ['idle'] });
    const keys = [
      [0, 60],
      [0, 100],
      [45, 100],
    ].map(([from, to]) => createPageSample(Array.from({ length: to! - from! }, (_, i) => from! + i)));
    const contents = joinContents(fleet.vms.map((each, i) => ({ ...each.contents, sample: keys[i]! })));
    const [small, representative, smallest] = fleet.vms.map(({ vm }) => vm.name);
    expect(nextPlan(fleet.state, contents).groups.map(({ vms }) => vms)).toEqual([[representative, small, smallest]]);
  });

  test('is one for all of the lesser image where two destinations divide the work', () => {
    const wide = { ...host('a', 40, false), sendBytesPerSecond: 1e9 };
    const fleet = fleetOf({ vmCount: 18, images: 2, hosts: [wide, host('b', 40), host('c', 40)], workloads: ['idle'] });
    const { moves } = planOf(fleet);
    const [fewer] = [0, 1]
      .map((image) => fleet.vms.filter((each) => each.image === image).map(({ vm }) => vm.name))
      .sort((a, b) => a.length - b.length);
    expect(fewer!.length).toBeGreaterThan(3);
    expect(new Set(moves.filter(({ vm }) => fewer!.includes(vm)).map(({ to }) => to)).size).toBe(1);
    expect(new Set(moves.map(({ to }) => to)).size).toBe(2);
  });

  test('is another where one port would be the bottleneck', () => {
    const wide = { ...host('a', 40, false), sendBytesPerSecond: 1e9 };
    const hosts = [wide, ...['b', 'c', 'd'].map((name) => host(name, 40))];
    const plan = planOf(fleetOf({ vmCount: 18, images: 1, hosts, workloads: ['idle'] }));
    expect(new Set(plan.moves.map(({ to }) => to)).size).toBe(3);
    expect(plan.makespanMs / plan.lowerBoundMs).toBeLessThan(1.25);
  });
});

describe('a way', () => {
  test('is kept free for a quiet phase that comes soon, and not for one that is far', () => {
    const fleet = fleetOf({
      vmCount: 2,
      hosts: [host('a', 20, false), host('b', 20)],
      workloads: ['idle', 'database'],
    });
    const length = planOf(fleet, { moves: fleet.state.moves.slice(0, 1) }).moves[0]!.prediction.totalMs.p50;
    const starting = (quietInMs: number): FleetPlan => {
      const period = {
        periodMs: length * 2,
        anchorMs: NOW_MS,
        profile: Array.from({ length: 24 }, (_, part) => (part < 6 ? 0.01 : 1.33)),
        quietFromMs: 0,
        quietMs: length / 2,
        confidence: 0.9,
      };
      // Its aim is at 0.3 of the quarter.
      const shifted = { ...period, anchorMs: NOW_MS + quietInMs - 0.3 * period.quietMs };
      const slow = { ...fleet.state.vms[1]!, dataPages: 20_000, period: shifted };
      return planOf(fleet, { vms: [fleet.state.vms[0]!, slow] });
    };
    const [other, rhythmic] = fleet.state.moves.map(({ vm }) => vm);
    const soon = starting(length * 0.3).moves.find(({ vm }) => vm === other)!;
    expect(soon.wait).toMatchObject({ kind: 'keepsFree', vm: rhythmic });
    expect(starting(length * 0.7).moves.find(({ vm }) => vm === other)!.wait).toBeNull();
  });
});

describe('what cannot succeed', () => {
  test('is not started: a VM that never converges, while the rest of its group goes', () => {
    const fleet = fleetOf({ vmCount: 5 }, { maxQuietWaitMs: 0 });
    const vms = fleet.vms.map(({ vm, workload }) => {
      const throttle = { ...vm.options.throttle, enabled: false };
      const options = { ...vm.options, mode: 'pre-copy' as const, throttle };
      return workload === 'rewriting' ? { ...vm, canPostCopy: false, options } : vm;
    });
    const plan = planOf(fleet, { vms });
    const stubborn = fleet.vms.find(({ workload }) => workload === 'rewriting')!.vm.name;
    expect(plan.refused).toEqual([{ vm: stubborn, why: { kind: 'cannotConverge' } }]);
    expect(plan.moves).toHaveLength(4);
  });

  test('as a group by its deadline loses the VM with least in common, which goes alone', () => {
    // One of the five has an image of its own.
    const fleet = fleetOf({ vmCount: 6, images: 1, workloads: ['idle'] });
    const odd = syntheticVms({ ...fleet.spec, seed: 77 })[5]!;
    const samples = fleet.vms.map(({ contents }, i) => (i === 5 ? { ...odd.contents, vm: contents.vm } : contents));
    // It shares a little, else it would not be in the group at all.
    const mixed = samples.map((each, i) => {
      if (i !== 5) return each;
      const keys = each.sample.keys.map((key, at) => (at % 5 === 0 ? samples[0]!.sample.keys[at]! : key));
      return { ...each, sample: { ...each.sample, keys: keys.sort() } };
    });
    const contents = joinContents(mixed);
    const relaxed = nextPlan(fleet.state, contents);
    expect(relaxed.groups.map(({ vms }) => vms.length)).toEqual([6]);
    const tooShort = NOW_MS + relaxed.groups[0]!.prediction.totalMs.p50 * 0.95;
    const moves = fleet.state.moves.map((move) => ({ ...move, deadlineAtMs: tooShort }));
    const plan = nextPlan({ ...fleet.state, moves }, contents);
    expect(plan.groups.find(({ vms }) => vms.length === 1)?.vms).toEqual([fleet.vms[5]!.vm.name]);
  });

  test('within any time by pre-copy alone is too late; with post-copy it is promised', () => {
    const fleet = fleetOf({ vmCount: 1, workloads: ['idle'] });
    const deadlineAtMs = NOW_MS + 100;
    const moves = fleet.state.moves.map((move) => ({ ...move, deadlineAtMs }));
    const vms = fleet.state.vms.map((vm) => ({ ...vm, canPostCopy: false }));
    expect(planOf(fleet, { moves, vms }).refused[0]!.why).toMatchObject({ kind: 'tooLate', deadlineAtMs });
    expect(planOf(fleet, { moves }).moves[0]!.finishByMs).toBeNull();
    const later = moves.map((move) => ({ ...move, deadlineAtMs: NOW_MS + 60_000 }));
    expect(planOf(fleet, { moves: later }).moves[0]!.finishByMs).toBe(60_000);
  });
});

test('to meet a deadline each VM leaves those after it the time that post-copy takes at most', () => {
  const fleet = fleetOf({ vmCount: 4, hosts: [host('a', 20, false), host('b', 20)] }, { objective: 'deadline' });
  const moves = fleet.state.moves.map((move) => ({ ...move, deadlineAtMs: NOW_MS + 60_000 }));
  const { moves: planned } = planOf(fleet, { moves });
  const ends = planned.map(({ startsAtMs, finishByMs }) => startsAtMs + finishByMs!);
  planned.slice(1).forEach(({ prediction }, i) => {
    expect(ends[i]! + prediction.boundMs).toBeLessThanOrEqual(ends[i + 1]! + 1e-6);
  });
  expect(ends.at(-1)).toBe(NOW_MS + 60_000);
});
