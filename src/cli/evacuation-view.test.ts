import { expect, test } from 'vitest';
import type { EvacuationView } from '../api/evacuation-schema.ts';
import { renderEvacuation } from './evacuation-view.ts';

test.each([
  [{ migration: 'm1' }, 'at its source: godwit migration watch m1'],
  [{ groupMigration: 'g1' }, 'with its group, at its source: godwit group report g1'],
  [{}, 'whether it has begun is not known'],
])('of a VM that is left on its way it is told how it is watched: %o', (ids, how) => {
  const vm = { vm: 'x', state: 'left', to: 'b', migration: null, groupMigration: null, ...ids };
  const view = { state: 'failed', startedAtMs: 0, endedAtMs: 5, predictedMs: null, error: null, vms: [vm] };
  expect(renderEvacuation(view as unknown as EvacuationView)).toContain(`x is still on its way to b (${how})`);
});
