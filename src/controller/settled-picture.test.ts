/** Hosts a and c, and a VM that has gone from one to the other while they were being asked. */
import { expect, test } from 'vitest';
import { vmOf } from '../../test/support/evacuation-trial.ts';
import type { OutlookView } from '../api/outlook-schema.ts';
import type { Arrival } from './evacuation-port.ts';
import { parseFleet } from './fleet-file.ts';
import { picture } from './fleet-picture.ts';
import { withArrivals } from './settled-picture.ts';

const GIB = 2 ** 30;
const FILE = parseFleet({ hosts: { a: { api: 'unix:/a' }, c: { api: 'unix:/c' } } }, '/');
const ON_WAY = { id: 'm', vm: 'x', to: 'c:7710', bytesPerSecond: 1, etaMs: 5, ramBytes: GIB };

const told = (host: string, askedAtMs: number, more: Partial<OutlookView> = {}) => {
  const place = { host, migration: `${host}:7710`, memoryBytes: 8 * GIB, bandwidthBytesPerSecond: 0, ways: {} };
  return { name: host, askedAtMs, outlook: { ...place, outgoing: [], vms: [], ...more } };
};

test.each<[string, Partial<OutlookView>, Partial<OutlookView>, number, number, number]>([
  ['its destination was asked before it came', {}, {}, 4, 7, 0],
  ['the same, and the source still tells of its migration', { outgoing: [ON_WAY] }, {}, 6, 7, 0],
  ['its destination was asked since, and has it no more', {}, {}, 2, 8, 0],
  ['the same, and the source still tells of its migration', { outgoing: [ON_WAY] }, {}, 2, 8, 1],
  ['its destination lists it', {}, { vms: [vmOf('x')] }, 4, 8, 0],
])('memory of what has arrived and nobody lists is taken: %s', (_, a, c, endKnownAtMs, freeGib, underway) => {
  const seen = picture(FILE, [told('a', 5, a), told('c', 3, c)], 9);
  const arrived = [{ vm: 'x', to: 'c', endKnownAtMs, ramBytes: GIB } as Arrival];
  const settled = withArrivals(seen, 'a', arrived);
  expect(settled.base.hosts.find(({ name }) => name === 'c')?.memoryBytes).toBe(freeGib * GIB);
  expect(settled.underway).toHaveLength(underway);
});

test('what left nobody’s list for a host that was asked since keeps its place on the way, until its source is asked again', () => {
  const seen = picture(FILE, [told('a', 5, { outgoing: [ON_WAY] }), told('c', 7)], 9);
  const arrived = [{ vm: 'x', to: 'c', endKnownAtMs: 6, ramBytes: GIB } as Arrival];
  expect(withArrivals(seen, 'a', arrived).underway).toHaveLength(1);
});
