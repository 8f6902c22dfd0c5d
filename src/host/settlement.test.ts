import { expect, test } from 'vitest';
import { ScriptedHandle, sampleRecord } from '../../test/support/scripted-engine.ts';
import { whenSettled } from './settlement.ts';
import type { VmRegistry } from './vm-registry.ts';

const ARRIVED = { kind: 'arrived', vm: sampleRecord() } as const;

test.each([
  ['be applied', { arrived: async () => Promise.reject(new Error('EIO')), find: () => undefined }],
  ['be tidied up after', { arrived: async () => undefined, find: () => ({ endLease: () => Promise.reject('EIO') }) }],
])('a settlement that cannot %s is told, and rejects nothing', async (_what, registry) => {
  const told: object[] = [];
  const log = { error: (facts: object) => told.push(facts) };
  const handle = new ScriptedHandle({ id: 'in-1', vm: 'web1', direction: 'incoming', peer: 'b' });
  const settled = whenSettled(registry as unknown as VmRegistry, handle, log as never);
  handle.settle(ARRIVED);
  const cleanUp = await settled;
  await cleanUp();
  expect(told).toEqual([{ migration: 'in-1', vm: 'web1', reason: expect.stringContaining('EIO') }]);
});
