import { expect, test } from 'vitest';
import type { FleetHostView, FleetVmView } from '../../src/api/fleet-schema.ts';
import { applyFleetEvent, type FleetState } from './fleet-state.ts';

test('a host that is forgotten is shown no more, nor its VMs', () => {
  const hosts = [{ name: 'a' }, { name: 'b' }] as FleetHostView[];
  const vms = [
    { name: 'x', host: 'a' },
    { name: 'y', host: 'b' },
  ] as FleetVmView[];
  const state: FleetState = {
    controller: null,
    hosts,
    vms,
    migrations: [],
    evacuations: [],
    isKnown: true,
    link: 'live',
    problem: null,
  };
  expect(applyFleetEvent(state, { id: '1', atMs: 1, kind: 'fleetHostForgotten', host: 'a' })).toEqual({
    ...state,
    hosts: [{ name: 'b' }],
    vms: [{ name: 'y', host: 'b' }],
  });
});
