/** What bundles are predicted, and promised. */
import { describe, expect, test } from 'vitest';
import { fleetOf, host } from '../../test/support/planned-fleet.ts';
import { nextPlan } from '../fleet/next-plan.ts';
import { NOW_MS } from '../fleet/synthetic-fleet.ts';
import { toUnits } from './bundle-slot.ts';
import { type BundledPlan, dueNow, planBundled } from './bundled-plan.ts';

interface Given {
  readonly deadlineInMs?: number;
  readonly region?: string | null;
  /** That the policy of one of both allows. */
  readonly limit?: number;
  readonly canPostCopy?: boolean;
}

/** Two idle VMs that leave a for b as one, and one that goes by itself; they have nothing in common. */
const HOSTS = [host('a', 20, false), host('b', 20)];
const FLEET = fleetOf({ vmCount: 3, images: 3, imagePart: 0, workloads: ['idle'], hosts: HOSTS });
const SINGLES = nextPlan(FLEET.state, FLEET.contents).moves.slice(0, 2);
const VMS = SINGLES.map(({ vm }) => vm);

function planOf({ deadlineInMs, region = null, limit = 0, canPostCopy = true }: Given = {}): BundledPlan {
  const { state, contents } = FLEET;
  const vms = state.vms.map((vm) => {
    if (vm.name !== VMS[1]) return vm;
    return { ...vm, canPostCopy, options: { ...vm.options, bandwidthBytesPerSecond: limit } };
  });
  const deadlineAtMs = deadlineInMs === undefined ? null : NOW_MS + deadlineInMs;
  const moves = state.moves.map((move) => ({ ...move, deadlineAtMs }));
  const bundles = [{ host: 'a', vms: VMS, region }];
  const policy = { ...state.policy, objective: 'deadline' as const };
  return planBundled({ ...state, policy, vms, moves }, bundles, (each) => nextPlan(each, contents));
}

const membersOf = ({ moves }: BundledPlan) => moves.filter(({ vm }) => VMS.includes(vm));
/** Of one of them with all of the way. */
const BOUND_MS = SINGLES[0]!.prediction.boundMs;

describe('VMs that begin at one moment', () => {
  test('are predicted with their shares of the way, and as they are begun', () => {
    const plan = planOf();
    const members = membersOf(plan);
    const shares = members.map(({ limitBytesPerSecond }) => limitBytesPerSecond / 1e8);
    expect(shares[0]! + shares[1]!).toBeCloseTo(1, 6);
    for (const [i, { vm, startsAtMs, endsAtMs, prediction }] of members.entries()) {
      const alone = SINGLES.find((move) => move.vm === vm)!.prediction.totalMs.p50;
      expect((prediction.totalMs.p50 / alone) * shares[i]!).toBeGreaterThan(0.8);
      expect(startsAtMs).toBe(members[0]!.startsAtMs);
      expect(endsAtMs).toBe(startsAtMs + prediction.totalMs.p50);
    }
    // Their shares are such that both are there at the same time.
    expect(members[0]!.prediction.totalMs.p50 / members[1]!.prediction.totalMs.p50).toBeCloseTo(1, 1);
    const begun = dueNow(plan, plan.bundles).find(({ moves }) => moves.length > 1);
    expect(begun?.moves.map(({ prediction }) => prediction)).toEqual(members.map(({ prediction }) => prediction));
    expect(plan.makespanMs).toBeGreaterThanOrEqual(Math.max(...plan.moves.map((move) => move.endsAtMs - NOW_MS)));
  });

  test('have one promise, which leaves room for who follows, and none where a share does not do', () => {
    const roomy = membersOf(planOf({ deadlineInMs: 4 * BOUND_MS }));
    expect(roomy[0]!.finishByMs).toBeGreaterThan(0);
    expect(roomy[1]!.finishByMs).toBe(roomy[0]!.finishByMs);
    for (const { finishByMs, prediction } of roomy) expect(finishByMs).toBeGreaterThanOrEqual(prediction.boundMs);
    const tight = planOf({ deadlineInMs: 1.8 * BOUND_MS });
    expect(membersOf(tight).map(({ finishByMs }) => finishByMs)).toEqual([null, null]);
  });

  test('are promised nothing with one that no post-copy may move', () => {
    const members = membersOf(planOf({ deadlineInMs: 100 * BOUND_MS, canPostCopy: false }));
    expect(members.map(({ finishByMs }) => finishByMs)).toEqual([null, null]);
  });

  test('that will be too late are told of as they are begun', () => {
    const plan = planOf({ deadlineInMs: BOUND_MS * 0.5 });
    const late = new Map(plan.late.map(({ vm, byMs }) => [vm, byMs]));
    for (const { vm, endsAtMs } of membersOf(plan))
      expect(late.get(vm)).toBeCloseTo(endsAtMs - NOW_MS - BOUND_MS * 0.5, 1);
  });
});

test('VMs that begin at one moment wait for what holds up the last of them', () => {
  const waits = [
    { kind: 'retry', untilMs: NOW_MS + 5, reason: 'why' },
    { kind: 'memory', host: 'b', neededBytes: 2, freeBytes: 1 },
  ] as const;
  const members = SINGLES.map((move, i) => ({ ...move, startsAtMs: NOW_MS + 5 + i, wait: waits[i]! }));
  const [unit] = toUnits(members, [{ host: 'a', vms: VMS, region: null }], FLEET.state);
  expect(unit!.moves.map(({ startsAtMs, wait }) => [startsAtMs, wait?.kind])).toEqual([
    [NOW_MS + 6, 'memory'],
    [NOW_MS + 6, 'memory'],
  ]);
});

describe('VMs that share memory', () => {
  test('are each promised their part of the time of all', () => {
    const plan = planOf({ region: 'bus', deadlineInMs: 10 * BOUND_MS });
    const members = membersOf(plan);
    const [first, second] = members.map(({ finishByMs }) => finishByMs);
    expect(first).toBe(second);
    const last = Math.max(...plan.moves.map(({ startsAtMs }) => startsAtMs));
    const follows = last > members[1]!.startsAtMs ? BOUND_MS : 0;
    const allMs = 10 * BOUND_MS - follows - (members[0]!.startsAtMs - NOW_MS);
    expect(first! * 2).toBeLessThanOrEqual(allMs * 1.05);
    expect(membersOf(planOf({ region: 'bus', deadlineInMs: 1.8 * BOUND_MS }))[0]!.finishByMs).toBeNull();
  });

  test('go by the lowest limit of their policies, one after the other', () => {
    const [first, second] = membersOf(planOf({ region: 'bus', limit: 1e7 }));
    expect([first!.bytesPerSecond, second!.bytesPerSecond]).toEqual([1e7, 1e7]);
    expect(first!.prediction.totalMs.p50 / SINGLES[0]!.prediction.totalMs.p50).toBeGreaterThan(9);
    expect(second!.startsAtMs).toBe(first!.endsAtMs);
  });
});
