import { expect, test } from 'vitest';
import type { FleetPlan, PlannedMove } from '../fleet/plan.ts';
import { isNewPlan } from './plan-change.ts';

const MOVE = { vm: 'x', to: 'b', detourTo: null, startsAtMs: 1000, endsAtMs: 9000, wait: { kind: 'turn' } };
const PLAN = { madeAtMs: 0, makespanMs: 9000, moves: [MOVE], refused: [] };

const planOf = (more: Partial<Record<keyof FleetPlan, unknown>>): FleetPlan =>
  ({ ...PLAN, ...more }) as unknown as FleetPlan;
const moved = (more: Partial<Record<keyof PlannedMove, unknown>>): FleetPlan =>
  planOf({ moves: [{ ...MOVE, ...more }] });
const parked = (reason: string) => ({ refused: [{ vm: 'y', why: { kind: 'parked', reason } }] });

test.each<[string, boolean, FleetPlan | null, FleetPlan]>([
  ['the first', true, null, planOf({})],
  ['the same, counted from another moment', false, planOf({}), planOf({ madeAtMs: 5000, makespanMs: 4000 })],
  ['a prediction that has moved a little', false, planOf({}), moved({ endsAtMs: 9900 })],
  ['what is late', false, planOf({ moves: [] }), planOf({ moves: [], madeAtMs: 5000, makespanMs: 16_000 })],
  ['a later end', true, planOf({}), planOf({ makespanMs: 10_100 })],
  ['a later start', true, planOf({}), moved({ startsAtMs: 2100 })],
  ['a later end of one', true, planOf({}), moved({ endsAtMs: 10_100 })],
  ['another place', true, planOf({}), moved({ to: 'c' })],
  ['another reason to wait', true, planOf({}), moved({ wait: { kind: 'memory' } })],
  ['a start', true, planOf({}), moved({ wait: null })],
  ['one more', true, planOf({}), planOf({ moves: [MOVE, MOVE] })],
  ['one that stays', true, planOf({}), planOf(parked('--skip'))],
  ['one that stays for another reason', true, planOf(parked('--skip')), planOf(parked('its policy'))],
])('%s: new is %s', (_what, isNew, before, now) => {
  expect(isNewPlan(before, now)).toBe(isNew);
});
