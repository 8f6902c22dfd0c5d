import { expect, test } from 'vitest';
import type { OutlookView, OutlookVm } from '../api/outlook-schema.ts';
import { nextPlan } from '../fleet/next-plan.ts';
import type { FleetPlan } from '../fleet/plan.ts';
import { parseFleet } from './fleet-file.ts';
import { picture } from './fleet-picture.ts';
import { requestFor } from './move-request.ts';
import { withUnderway } from './underway.ts';

const GIB = 2 ** 30;
const RATE = 100e6;

const vmOf = (name: string): OutlookVm => ({
  ...{ name, uuid: name, state: 'running', migration: null, ramBytes: GIB, dataPages: 10_000 },
  ...{ samples: [], contents: null, sharedMemory: [] },
});

type Outgoing = OutlookView['outgoing'][number];
const outgoing = (more: Partial<Outgoing>): Outgoing => ({
  ...{ id: 'm', vm: 'z', to: 'b:7710', bytesPerSecond: 0, etaMs: 20_000, ramBytes: GIB },
  ...more,
});

const outlook = (host: string, more: Partial<OutlookView> = {}): OutlookView => ({
  ...{ host, migration: `${host}:7710`, memoryBytes: 8 * GIB, bandwidthBytesPerSecond: 0 },
  ...{ ways: {}, outgoing: [], vms: [], ...more },
});

interface Fleet {
  readonly outlooks: readonly OutlookView[];
  /** Of all hosts; undefined: not said. */
  readonly rate?: string;
}

function pictureOf({ outlooks, rate }: Fleet) {
  const known = outlooks.map(({ host }) => [host, { api: `unix:/${host}`, ...(rate === undefined ? {} : { rate }) }]);
  const file = parseFleet({ hosts: Object.fromEntries(known) }, '/');
  return picture(
    file,
    outlooks.map((each) => ({ name: each.host, outlook: each, askedAtMs: 0 })),
    0,
  );
}

/** All of a's VMs to b, with whatever else is under way. */
function planOf(fleet: Fleet): FleetPlan {
  const { base, contents, underway } = pictureOf(fleet);
  const moves = base.vms
    .filter(({ host }) => host === 'a')
    .map(({ name }) => ({
      vm: name,
      to: 'b',
      deadlineAtMs: null,
      wantedSinceMs: 0,
      state: { kind: 'waiting' } as const,
    }));
  return nextPlan(withUnderway({ ...base, moves }, underway), contents);
}

const visit = {
  ...{ atMs: 0, vm: '', bytesPerSecond: 0, wholeBytes: 2500, resentBytes: 1000 },
  ...{ preparingMs: 100, fixedDowntimeMs: 10, endingMs: 10, pushFactor: 1 },
};

test('a migration that somebody else has begun fills the port that it goes through', () => {
  const free = planOf({ outlooks: [outlook('a', { vms: [vmOf('x')] }), outlook('b')] });
  expect(free.moves[0]).toMatchObject({ vm: 'x', wait: null });
  // From a third host to the same one; the VM is in post-copy: nobody lists it.
  const busy = [outlook('a', { vms: [vmOf('x')] }), outlook('b'), outlook('c', { outgoing: [outgoing({})] })];
  expect(planOf({ outlooks: busy }).moves[0]).toMatchObject({
    vm: 'x',
    startsAtMs: 20_000,
    wait: { kind: 'bandwidth', behind: ['z on its way'] },
  });
  // Its connection is lost: it sends nothing, whatever it may have had.
  const stalled = outlook('c', { outgoing: [outgoing({ bytesPerSecond: RATE, waitingFor: 'connection' })] });
  expect(planOf({ outlooks: [...busy.slice(0, 2), stalled] }).moves[0]).toMatchObject({ wait: null });
  // What it does not use is free.
  const slow = outlook('c', { outgoing: [outgoing({ bytesPerSecond: 1e6 })] });
  expect(planOf({ outlooks: [...busy.slice(0, 2), slow] }).moves[0]).toMatchObject({ wait: null });
});

test('a VM that is on its way already is not moved, and takes its room at both ends once', () => {
  const leaving = outlook('a', { vms: [{ ...vmOf('z'), migration: 'm' }, vmOf('x')], outgoing: [outgoing({})] });
  const room = (memoryBytes: number, vms: OutlookVm[] = []) =>
    planOf({ outlooks: [leaving, outlook('b', { memoryBytes, vms })] });
  expect(room(2 * GIB).moves.map(({ vm }) => vm)).toEqual(['x']);
  expect(room(2 * GIB - 1).refused).toMatchObject([{ vm: 'x', why: { kind: 'noRoom', freeBytes: GIB - 1 } }]);
  // The destination lists it already: its room there is known.
  const arrived = { ...leaving, vms: [vmOf('x')] };
  const there = outlook('b', { memoryBytes: 2 * GIB, vms: [{ ...vmOf('z'), migration: 'm' }] });
  expect(planOf({ outlooks: [arrived, there] })).toMatchObject({ moves: [{ vm: 'x' }], refused: [] });
});

test('a migration to a host that is none of the fleet fills the port of its source', () => {
  const source = outlook('a', { vms: [vmOf('x')], outgoing: [outgoing({ to: '10.9.9.9:7710' })] });
  expect(planOf({ outlooks: [source, outlook('b')] }).moves[0]).toMatchObject({ vm: 'x', startsAtMs: 20_000 });
});

test('where no rate is said what was measured counts, and is no limit; where one is said it is the limit', () => {
  const ways = { 'b:7710': [{ ...visit, bytesPerSecond: 900e6 }] };
  const outlooks = [outlook('a', { vms: [vmOf('x')], ways }), outlook('b')];
  const request = (fleet: Fleet) => {
    const [move] = planOf(fleet).moves;
    return { rate: move!.bytesPerSecond, ...requestFor(move!, pictureOf(fleet)) };
  };
  expect(request({ outlooks })).toEqual({ rate: 900e6, to: 'b:7710' });
  const rate = `${(RATE * 8) / 1e6}Mbit/s`;
  expect(request({ outlooks, rate })).toEqual({ rate: RATE, to: 'b:7710', bandwidthBytesPerSecond: RATE });
  // Of a way that nobody has gone the owner's word is all that there is.
  const unknown = [outlook('a', { vms: [vmOf('x')] }), outlook('b')];
  const [slow, fast] = ['100Mbit/s', '10Gbit/s'].map((each) => planOf({ outlooks: unknown, rate: each }).moves[0]!);
  expect(slow!.prediction.totalMs.p50).toBeGreaterThan(fast!.prediction.totalMs.p50 * 3);
});

test('what a silent host was sending fills no port for ever: the others go on', () => {
  const file = parseFleet({ hosts: { a: { api: 'unix:/a' }, b: { api: 'unix:/b' }, c: { api: 'unix:/c' } } }, '/');
  const last = outlook('c', { outgoing: [outgoing({ bytesPerSecond: RATE })] });
  const { base, contents, underway } = picture(
    file,
    [
      { name: 'a', outlook: outlook('a', { vms: [vmOf('x')] }), askedAtMs: 0 },
      { name: 'b', outlook: outlook('b'), askedAtMs: 0 },
      { name: 'c', failure: 'no answer', isRefusal: false, isFinal: false, last: { outlook: last, askedAtMs: 0 } },
    ],
    0,
  );
  const moves = [{ vm: 'x', to: 'b', deadlineAtMs: null, wantedSinceMs: 0, state: { kind: 'waiting' } as const }];
  expect(underway).toMatchObject([{ vm: 'z', waitingFor: 'host c, which is silent' }]);
  expect(nextPlan(withUnderway({ ...base, moves }, underway), contents).moves[0]).toMatchObject({ wait: null });
});

test('a VM that was started elsewhere when its host had died is no double', () => {
  const file = parseFleet({ hosts: { a: { api: 'unix:/a' }, b: { api: 'unix:/b' } } }, '/');
  const of = (host: string) => ({ outlook: outlook(host, { vms: [vmOf('x')] }), askedAtMs: 0 });
  const gone = { name: 'a', failure: 'no answer', isRefusal: false, isFinal: false, last: of('a') };
  const obstacles = (first: Parameters<typeof picture>[1][number]) =>
    picture(file, [first, { name: 'b', ...of('b') }], 0).vms.map(({ fleetVm: { host }, obstacle }) => [host, obstacle]);
  expect(obstacles(gone)).toEqual([['b', null]]);
  expect(obstacles({ name: 'a', ...of('a') })).toContainEqual(['b', expect.stringContaining('two hosts')]);
});
