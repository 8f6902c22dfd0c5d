import { expect, test } from 'vitest';
import { completeFailure, failedAgain } from './evacuation-ends.ts';
import type { Failure } from './evacuation-port.ts';

test('all hosts at which a VM has failed are remembered, the last one last', () => {
  const failures = ['b', 'c', 'b'].reduce<Failure | undefined>(
    (known, to) => failedAgain(known, to, 7, 'why'),
    undefined,
  );
  expect(failures).toEqual({ kind: 'failed', to: 'b', failedAt: ['c', 'b'], atMs: 7, attempts: 3, reason: 'why' });
});

test('of a failure that was written down without its hosts the last one is known', () => {
  const old = { kind: 'failed', to: 'b', atMs: 7, attempts: 2, reason: 'why' } as unknown as Failure;
  expect(completeFailure(old)).toEqual({ ...old, failedAt: ['b'] });
  expect(failedAgain(completeFailure(old), 'c', 8, 'why')).toMatchObject({ failedAt: ['b', 'c'], attempts: 3 });
});
