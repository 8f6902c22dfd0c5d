import { describe, expect, test } from 'vitest';
import { expectSound, fleetOf, GIBIBYTE, host, planOf } from '../../test/support/planned-fleet.ts';
import { createPageSample } from '../base/page-sample.ts';
import { type FleetContents, joinContents } from './fleet-contents.ts';
import type { FleetHost, FleetState } from './fleet-state.ts';
import { nextPlan } from './next-plan.ts';
import type { FleetPlan } from './plan.ts';
import { NOW_MS, waitingMove } from './synthetic-fleet.ts';

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
