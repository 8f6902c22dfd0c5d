import { expect, test } from 'vitest';
import { GodwitError } from '../../src/base/errors.ts';
import { loadFleet } from './fleet-store.ts';

const SILENT = new GodwitError('GW_STORE_UNAVAILABLE', { store: 'NATS', reason: 'no answer' });
const FLEET = { atMs: 1, controller: null, hosts: [], vms: [], migrations: [], refusedRegistrations: [] };

test('while the store is silent the fleet is shown, and what is known of evacuations is left as it is', async () => {
  const calls = { fleet: async () => FLEET, listEvacuations: () => Promise.reject(SILENT) };
  expect(await loadFleet(calls)).toEqual({
    controller: null,
    hosts: [],
    vms: [],
    migrations: [],
    isKnown: true,
  });
});

test('a controller that answers with another error is told of by it', async () => {
  const denied = new GodwitError('GW_API_UNAUTHORIZED', { fix: 'give a token' });
  const calls = { fleet: async () => FLEET, listEvacuations: () => Promise.reject(denied) };
  await expect(loadFleet(calls)).rejects.toThrow(denied);
});
