import { expect, test } from 'vitest';
import { vmOf } from '../../test/support/evacuation-trial.ts';
import { FleetRecordingSchema } from '../api/fleet-recording-schema.ts';
import type { OutlookView } from '../api/outlook-schema.ts';
import { createPageSample } from '../base/page-sample.ts';
import { encodePageSample } from '../base/page-sample-code.ts';
import { simulate } from '../fleet/fleet-simulation.ts';
import { nextPlan } from '../fleet/next-plan.ts';
import { strategyOf } from '../fleet/strategies.ts';
import { wantedMoves } from './asked-vms.ts';
import { parseFleet } from './fleet-file.ts';
import type { Seen } from './fleet-look.ts';
import { type Answer, picture } from './fleet-picture.ts';
import { recordedFleet, recordFleet } from './recorded-fleet.ts';

const AT_MS = Date.UTC(2026, 10, 30);
const SAMPLES = Array.from({ length: 20 }, (_, i) => {
  return { atMs: AT_MS - (20 - i) * 60_000, pagesPerSecond: 100, ms: 1000, points: [{ ms: 1000, pages: 100 }] };
});
const contentsOf = (first: number): string =>
  encodePageSample(createPageSample(Array.from({ length: 150 }, (_, i) => first + i)));
const outlook = (host: string, vms: OutlookView['vms']): OutlookView => {
  const visit = { atMs: 1, vm: 'u', bytesPerSecond: 5e7, wholeBytes: 2000, resentBytes: 1000, preparingMs: 300 };
  const fixed = { fixedDowntimeMs: 20, endingMs: 50, pushFactor: 2 };
  return {
    ...{ host, migration: `${host}:7710`, memoryBytes: 2 ** 36, bandwidthBytesPerSecond: 0, outgoing: [], vms },
    ways: host === 'a' ? { 'b:7710': [{ ...visit, ...fixed }] } : {},
  };
};
const VMS = ['web1', 'web2', 'db1'].map((name, i) =>
  vmOf(name, { contents: contentsOf(name === 'db1' ? 10_000 : 10 * i), samples: SAMPLES }),
);
const FILE = parseFleet(
  {
    hosts: { a: { api: 'unix:/a' }, b: { api: 'unix:/b', rate: '1Gbit/s' }, c: { api: 'unix:/c' } },
    vms: { db1: { labels: { tier: 'db' } } },
    policies: { databases: { vms: { tier: 'db' }, mode: 'post-copy' } },
  },
  '/',
);
const told = (name: string, vms: typeof VMS) => ({ outlook: outlook(name, vms), askedAtMs: AT_MS });
const SILENT: Answer = { name: 'c', failure: 'no answer', isRefusal: false, isFinal: false, last: told('c', []) };
const ANSWERS: Answer[] = [{ name: 'a', ...told('a', VMS) }, { name: 'b', ...told('b', []) }, SILENT];

function seen(): Seen {
  const looked = picture(FILE, ANSWERS, AT_MS);
  const rest = { marks: new Map(), heardAtMs: new Map() };
  return { atMs: AT_MS, file: FILE, answers: ANSWERS, picture: looked, ...rest };
}
const RECORDING = FleetRecordingSchema.parse(JSON.parse(JSON.stringify(recordFleet(seen()))));

test('a plan of a recording, once it was a file, is the plan of the fleet itself', () => {
  const { base, contents } = picture(FILE, ANSWERS, AT_MS);
  const moves = wantedMoves(seen().picture, 'a', { to: null, deadlineAtMs: null, skip: [] });
  const { fleet, plan } = recordedFleet(RECORDING, 'a', null);
  const planned = plan(fleet.state);
  expect(planned).toEqual({ ...nextPlan({ ...base, moves }, contents), bundles: [] });
  expect(planned.moves.map(({ vm, to }) => [vm, to]).toSorted()).toEqual([
    ['db1', 'b'],
    ['web1', 'b'],
    ['web2', 'b'],
  ]);
});

test('it has what was silent as a host that takes no VMs, and no token', () => {
  expect(RECORDING.fleet.hosts.map(({ name, takesVms }) => [name, takesVms])).toEqual([
    ['a', true],
    ['b', true],
    ['c', false],
  ]);
  expect(Object.keys(RECORDING.fleet.hosts[0]!)).not.toContain('token');
});

test('what is simulated goes by the way that was measured, and by the policies', () => {
  const { fleet, plan } = recordedFleet(RECORDING, 'a', 'b');
  const { moves } = simulate(fleet, strategyOf('representatives', plan), 1);
  const db1 = moves.find(({ vm }) => vm === 'db1')!;
  expect(db1.isPostCopied).toBe(true);
  expect(db1.downtimeMs).toBe(20);
  // 10,000 pages of 2000 bytes, twice as long in post-copy, at no more than half as much again as the 50 MB/s that were measured.
  expect(db1.bytes).toBe(10_000 * 2000 * 2);
  expect(db1.endedAtMs - db1.startedAtMs).toBeGreaterThan((db1.bytes / 7.5e7) * 1000);
  // web2 has 140 of its 150 sampled contents from web1.
  const bytes = (vm: string): number => moves.find((move) => move.vm === vm)!.bytes;
  expect(Math.min(bytes('web1'), bytes('web2'))).toBeLessThan(0.2 * Math.max(bytes('web1'), bytes('web2')));
});

test.each([
  ['x', null, /--host: x .* give one of a, b, c/],
  ['a', 'x', /--to: x .* give one of a, b, c/],
])('a host that is not in it is refused (%s to %s)', (host, to, words) => {
  expect(() => recordedFleet(RECORDING, host, to)).toThrow(words);
});
