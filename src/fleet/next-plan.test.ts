import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { expectSound, fleetOf, GIBIBYTE, host, planOf } from '../../test/support/planned-fleet.ts';
import { explainPlan } from './explain.ts';
import { joinContents } from './fleet-contents.ts';
import { DEFAULT_POLICY, type Move } from './fleet-state.ts';
import { nextPlan } from './next-plan.ts';
import type { PlannedMove } from './plan.ts';
import { isQuiet } from './quiet-phase.ts';
import { isBusy, NOW_MS, syntheticVms, waitingMove } from './synthetic-fleet.ts';

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

test('waits for quiet phases are not in the bound, and told beside it', () => {
  const periodic = { workloads: ['periodic' as const], periodMs: [120_000, 180_000] as const, sampleMs: 20_000 };
  const waiting = planOf(fleetOf({ vmCount: 4, ...periodic }));
  const atOnce = planOf(fleetOf({ vmCount: 4, ...periodic }, { maxQuietWaitMs: 0 }));
  expect(waiting.moves.some(({ wait }) => wait?.kind === 'quiet')).toBe(true);
  expect(waiting.quietBoundMs).toBeGreaterThan(2 * waiting.lowerBoundMs);
  expect(waiting.lowerBoundMs).toBeLessThan(1.25 * atOnce.makespanMs);
  expect(atOnce.quietBoundMs).toBe(atOnce.lowerBoundMs);
  expect(explainPlan(waiting)[0]).toMatch(/times the least possible \([\d.]+ times with the waits for quiet phases\)$/);
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

  test('what sends nothing until nobody knows when keeps its memory, and nobody waits for its port', () => {
    const fleet = fleetOf({ vmCount: 3, hosts: [host('a', 20, false), host('b', 2)] }, { maxQuietWaitMs: 0 });
    const [first, ...others] = fleet.state.moves;
    const stalled: Move = { ...first!, state: { kind: 'running', to: 'b', bytesPerSecond: 1e8, endsAtMs: null } };
    const plan = planOf(fleet, { moves: [stalled, ...others] });
    expect(plan.moves).toMatchObject([{ wait: null, bytesPerSecond: 1e8 }]);
    expect(plan.refused).toMatchObject([{ why: { kind: 'noRoom' } }]);
    expect(plan.makespanMs).toBe(plan.moves[0]!.endsAtMs - NOW_MS);
  });

  test('what is overdue is not over in a moment, however often it is asked for', () => {
    const fleet = fleetOf({ vmCount: 2, hosts: [host('a', 20, false), host('b', 4)] }, { maxQuietWaitMs: 0 });
    const [first, other] = fleet.state.moves;
    const startsAt = (nowMs: number): number => {
      const state = { kind: 'running', to: 'b', bytesPerSecond: 1e8, endsAtMs: NOW_MS } as const;
      return planOf(fleet, { nowMs, moves: [{ ...first!, state }, other!] }).moves[0]!.startsAtMs;
    };
    const hour = 3_600_000;
    expect(startsAt(NOW_MS + hour)).toBeGreaterThan(NOW_MS + hour + 60_000);
    expect(startsAt(NOW_MS + hour)).toBe(startsAt(NOW_MS + hour + 1000));
    expect(startsAt(NOW_MS + 1)).toBe(NOW_MS + 1024);
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
      to: 'c',
      failedAt: ['b', 'c'],
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
        state: { kind: 'failed', to, failedAt: [to], atMs: NOW_MS, attempts: 1, reason: 'link cut' },
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

  describe('a VM that failed often', () => {
    const often = (to: string | null, failedAt: string[]): Partial<Move> => ({
      to,
      state: { kind: 'failed', to: failedAt.at(-1)!, failedAt, atMs: NOW_MS, attempts: 5, reason: 'link cut' },
    });
    const plan = (change: Partial<Move>, room = 20) => {
      const hosts = [host('a', 20, false), host('b', 20), host('c', 20), host('d', room)];
      const fleet = fleetOf({ vmCount: 1, hosts }, { maxQuietWaitMs: 0 });
      return planOf(fleet, { moves: [{ ...fleet.state.moves[0]!, ...change }] });
    };
    const failed = { refused: [{ why: { kind: 'failed', attempts: 5 } }], moves: [] };

    test('goes where it was not tried yet, soon, and is then left alone', () => {
      expect(plan(often(null, ['b', 'c']))).toMatchObject({
        moves: [{ to: 'd', startsAtMs: NOW_MS + 120_000 }],
        refused: [],
      });
      expect(plan(often(null, ['b', 'c', 'd']))).toMatchObject(failed);
    });

    test('is left alone where those that were not tried have no room, or it has a destination of its own', () => {
      expect(plan(often(null, ['b', 'c']), 0.5)).toMatchObject(failed);
      expect(plan(often('b', ['b']))).toMatchObject(failed);
    });

    test('is the one that is left alone of those that it shares memory with', () => {
      const hosts = [host('a', 20, false), host('b', 20), host('c', 0.5)];
      const fleet = fleetOf({ vmCount: 2, hosts }, { maxQuietWaitMs: 0 });
      const regions = [{ name: 'ring', pages: 1000 }];
      const contents = joinContents(fleet.vms.map((each) => ({ ...each.contents, regions })));
      const [one, other] = fleet.state.moves;
      const moves = [{ ...one!, ...often(null, ['b']) }, other!];
      expect(nextPlan({ ...fleet.state, moves }, contents)).toMatchObject({
        moves: [{ vm: other!.vm, to: 'b' }],
        refused: [{ vm: one!.vm, why: { kind: 'failed' } }],
      });
    });
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
  test('are predicted as usual where they start in a busy one after all', () => {
    const periodic = { workloads: ['periodic' as const], periodMs: [120_000, 180_000] as const, sampleMs: 20_000 };
    const fleet = fleetOf({ vmCount: 20, ...periodic }, { maxQuietWaitMs: 150_000 });
    const busy = planOf(fleet).moves.filter(({ vm, startsAtMs }) => {
      const period = fleet.state.vms.find(({ name }) => name === vm)?.period;
      return period && !isQuiet(period, startsAtMs);
    });
    expect(busy.length).toBeGreaterThan(0);
    expect(busy.map(({ prediction }) => prediction.dirtyFactor)).toEqual(busy.map(() => 1));
  });

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

  test('do not wait once they were wanted for as long as they may wait, however often they are planned', () => {
    const fleet = fleetOf({ vmCount: 6, workloads: ['periodic'] });
    const waitsAfter = (ms: number): number => {
      const moves = fleet.state.moves.map((move) => ({ ...move, wantedSinceMs: NOW_MS - ms }));
      return planOf(fleet, { moves }).moves.filter(({ wait }) => wait?.kind === 'quiet').length;
    };
    expect(waitsAfter(0)).toBeGreaterThan(0);
    expect(waitsAfter(DEFAULT_POLICY.maxQuietWaitMs)).toBe(0);
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
    const missed = planOf(fleet, { moves });
    expect(missed.moves[0]!.finishByMs).toBeNull();
    expect(missed.late).toEqual([{ vm: missed.moves[0]!.vm, byMs: missed.moves[0]!.endsAtMs - deadlineAtMs }]);
    expect(explainPlan(missed)[1]).toMatch(/^The deadline is missed: .* too late/);
    const later = moves.map((move) => ({ ...move, deadlineAtMs: NOW_MS + 60_000 }));
    expect(planOf(fleet, { moves: later })).toMatchObject({ moves: [{ finishByMs: 60_000 }], late: [] });
  });
});

test('what a policy allows counts in plans and promises: a tenth of the port takes ten times as long', () => {
  const fleet = fleetOf({ vmCount: 1, workloads: ['idle'] });
  const moves = fleet.state.moves.map((move) => ({ ...move, deadlineAtMs: NOW_MS + 60_000 }));
  const limit = { bandwidthBytesPerSecond: 1e7 };
  const vms = fleet.state.vms.map((vm) => ({ ...vm, options: { ...vm.options, ...limit } }));
  const [free, limited] = [planOf(fleet, { moves }), planOf(fleet, { moves, vms })];
  expect(limited.makespanMs / free.makespanMs).toBeGreaterThan(9);
  expect(limited.lowerBoundMs).toBeLessThanOrEqual(limited.makespanMs);
  expect(free.moves[0]!.finishByMs).toBe(60_000);
  expect(limited.moves[0]!.finishByMs).toBeNull();
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
