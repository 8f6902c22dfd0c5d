import { expect, test } from 'vitest';
import type { EvacuationView } from '../api/evacuation-schema.ts';
import { renderEvacuation } from './evacuation-view.ts';

test.each([
  [0, 'completed: 0 VMs moved in'],
  [1, 'completed: 1 VM moved in'],
  [2, 'completed: 2 VMs moved in'],
])('of %d VMs that have moved it says so', (many, words) => {
  const vm = { vm: 'x', state: 'arrived', to: 'b', predicted: null, actual: null };
  const vms = Array(many).fill(vm);
  const view = { state: 'completed', startedAtMs: 0, endedAtMs: 5, predictedMs: null, error: null, vms };
  expect(renderEvacuation(view as unknown as EvacuationView)).toContain(words);
});

test.each([
  [{ migration: 'm1' }, 'at its source: godwit migration watch m1'],
  [{ groupMigration: 'g1' }, 'with its group, at its source: godwit group report g1'],
  [{}, 'whether it has begun is not known'],
])('of a VM that is left on its way it is told how it is watched: %o', (ids, how) => {
  const vm = { vm: 'x', state: 'left', to: 'b', migration: null, groupMigration: null, ...ids };
  const view = { state: 'failed', startedAtMs: 0, endedAtMs: 5, predictedMs: null, error: null, vms: [vm] };
  expect(renderEvacuation(view as unknown as EvacuationView)).toContain(`x is still on its way to b (${how})`);
});
