import { expect, test } from 'vitest';
import { evacuationTrial, NEVER, vmOf } from '../../test/support/evacuation-trial.ts';
import { showVms } from './evacuation-view.ts';

test('of a VM that moves with its group the migration of the group is shown, and its own when it has arrived', async () => {
  const shared = { sharedMemory: [{ name: 'bus', bytes: 4096 }] };
  const { evacuation, endGroup, seen } = evacuationTrial([vmOf('s', shared)], { hold: true });
  const running = evacuation.run(NEVER, NEVER);
  await seen(({ kind }) => kind === 'started');
  const shown = () => showVms(evacuation.memory(), null, null);
  expect(shown()).toMatchObject([{ vm: 's', state: 'running', migration: null, groupMigration: 'g-bus' }]);
  endGroup('g-bus', 'completed');
  await running;
  expect(shown()).toMatchObject([{ vm: 's', state: 'arrived', migration: 'm-s', groupMigration: null }]);
});
