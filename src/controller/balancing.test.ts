import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { waitUntil } from '../../test/support/wait-until.ts';
import type { BalanceView } from '../api/balance-schema.ts';
import type { EvacuationView } from '../api/evacuation-schema.ts';
import type { OutlookView } from '../api/outlook-schema.ts';
import { GodwitError } from '../base/errors.ts';
import { Balancing } from './balancing.ts';
import { Evacuations } from './evacuations.ts';
import { type FleetFile, parseFleet } from './fleet-file.ts';
import { FleetHosts } from './fleet-hosts.ts';
import type { Seen } from './fleet-look.ts';
import { type Answer, picture } from './fleet-picture.ts';
import { Maintenance, type Mark, withMarks } from './maintenance.ts';
import { SqliteStore } from './sqlite-store.ts';
import type { FleetStore } from './store.ts';

const GIB = 2 ** 30;
const FILE = parseFleet(
  {
    hosts: { a: { api: 'unix:/a' }, b: { api: 'unix:/b' }, c: { api: 'unix:/c' } },
    vms: { 'fixed*': { labels: { stays: 'yes' } } },
    policies: { pinned: { vms: { stays: 'yes' }, stays: true } },
  },
  '/',
);

const outlook = (host: string, cpuPart: number, vms: readonly string[] = []): OutlookView => ({
  host,
  migration: `${host}:7710`,
  memoryBytes: 64 * GIB,
  bandwidthBytesPerSecond: 0,
  pressure: { cpus: 8, cpuPart, memoryBytes: 64 * GIB, memoryPart: 0.2, cpuStallPart: null, memoryStallPart: null },
  ways: {},
  outgoing: [],
  vms: vms.map((name) => ({
    name,
    uuid: name,
    state: 'running',
    migration: null,
    ramBytes: GIB,
    dataPages: 1000,
    cpus: 2,
    samples: [],
    contents: null,
    sharedMemory: [],
  })),
});

interface SeenOptions {
  readonly atMs?: number;
  readonly marked?: readonly string[];
  readonly file?: FleetFile;
}

/** Hosts that answer so. */
function seen(
  outlooks: readonly OutlookView[],
  { atMs = 1e12, marked = [], file: given = FILE }: SeenOptions = {},
): Seen {
  const marks = new Map(marked.map((name): [string, Mark] => [name, { sinceMs: 0, reason: null }]));
  const file = withMarks(given, marks);
  const answers = outlooks.map((each): Answer => ({ name: each.host, outlook: each, askedAtMs: atMs }));
  return { atMs, file, marks, answers, heardAtMs: new Map(), picture: picture(file, answers, atMs) };
}

const ORDER = { isDry: false, newHost: null, initiator: 'balancer' } as const;
const BUSY = [outlook('a', 0.95, ['x', 'fixed1']), outlook('b', 0.1), outlook('c', 0.5)];

let store: SqliteStore;
let hosts: FleetHosts;
let evacuations: Evacuations;
let balancing: Balancing;

beforeEach(() => {
  store = new SqliteStore(':memory:');
  hosts = new FleetHosts(FILE);
  // Nothing is carried out: what is begun stays waiting.
  evacuations = new Evacuations({
    ...{ store, hosts, name: 'test', leads: () => false, orders: () => null },
    ...{ picture: () => Promise.reject(new Error('none')), changed: () => undefined, failed: () => undefined },
  });
  balancing = new Balancing(store, evacuations);
});
afterEach(async () => {
  await evacuations[Symbol.asyncDispose]();
  await hosts[Symbol.asyncDispose]();
  await store[Symbol.asyncDispose]();
});

test('a VM of a busy host is moved, and its hosts rest then, whoever looks next', async () => {
  const { moves, evacuations: begun } = await balancing.balance(seen(BUSY), ORDER);
  expect(moves.map(({ vm, from, to }) => [vm, from, to])).toEqual([['x', 'a', 'b']]);
  const [view] = await evacuations.list(10);
  expect(view).toMatchObject({ id: begun[0], from: 'a', to: 'b', onlyVms: ['x'], initiator: 'balancer' });
  const verdicts = async (atMs: number) =>
    (await new Balancing(store, evacuations).balance(seen(BUSY, { atMs }), { ...ORDER, isDry: true })).hosts.map(
      ({ verdict }) => verdict,
    );
  expect(await verdicts(1e12 + 60_000)).toEqual(['resting', 'resting', 'calm']);
  expect(await verdicts(1e12 + 700_000)).toEqual(['busy', 'calm', 'calm']);
});

test('nothing is begun while what was begun before goes on, nor when it is only asked', async () => {
  await balancing.balance(seen(BUSY), { ...ORDER, isDry: true });
  expect(await evacuations.list(10)).toEqual([]);
  await balancing.balance(seen(BUSY), ORDER);
  const fuller = [outlook('a', 0.95, ['x', 'y']), ...BUSY.slice(1)];
  const later = await balancing.balance(seen(fuller, { atMs: 1e12 + 700_000 }), ORDER);
  expect([later.evacuations, later.words]).toEqual([
    [],
    [expect.any(String), expect.stringContaining('still goes on')],
  ]);
});

test('what somebody has just claimed is left to him, and that is said', async () => {
  const conflict = new GodwitError('GW_CONFLICT', { kind: 'host', name: 'a', reason: 'e-1 was faster' });
  vi.spyOn(evacuations, 'request').mockRejectedValueOnce(conflict);
  const { evacuations: begun, words } = await balancing.balance(seen(BUSY), ORDER);
  expect([begun, words.at(-1)]).toEqual([[], expect.stringContaining('e-1 was faster')]);
  // No host rests from it.
  expect((await balancing.balance(seen(BUSY), ORDER)).evacuations).toHaveLength(1);
});

test('a host that is marked for maintenance neither gives nor gets, and a VM stays whose policy says so', async () => {
  expect((await balancing.balance(seen(BUSY, { marked: ['a'] }), ORDER)).moves).toEqual([]);
  const toC = await balancing.balance(seen(BUSY, { marked: ['b'] }), { ...ORDER, isDry: true });
  expect(toC.moves.map(({ to }) => to)).not.toContain('b');
  const pinned = [outlook('a', 0.95, ['fixed1']), outlook('b', 0.1)];
  expect((await balancing.balance(seen(pinned), ORDER)).moves).toEqual([]);
});

test('VMs that go only together, and those of a host that is being evacuated, are left alone', async () => {
  const shared = { sharedMemory: [{ name: 'bus', bytes: 4096 }] };
  const busy = outlook('a', 0.95, ['x', 'y']);
  const sharing = { ...busy, vms: busy.vms.map((vm) => ({ ...vm, ...shared })) };
  expect((await balancing.balance(seen([sharing, outlook('b', 0.1)]), ORDER)).moves).toEqual([]);
  await evacuations.request({ from: 'a' }, 'person');
  expect((await balancing.balance(seen(BUSY), ORDER)).moves).toEqual([]);
});

test('a mark that is changed is never away', async () => {
  const maintenance = new Maintenance(store);
  const mark = { sinceMs: 1, reason: 'a fan', by: null };
  await maintenance.set('a', mark);
  const heard: (number | undefined)[] = [];
  const deaf = Object.assign(Object.create(store) as FleetStore, {
    read: (key: string) => store.read(key),
    write: () => Promise.reject(new Error('the controller is killed')),
    remove: (key: string) => store.remove(key),
  });
  await expect(new Maintenance(deaf).set('a', { ...mark, sinceMs: 2 })).rejects.toThrow('killed');
  heard.push((await maintenance.marks()).get('a')?.sinceMs);
  await maintenance.set('a', { ...mark, sinceMs: 3 });
  heard.push((await maintenance.marks()).get('a')?.sinceMs);
  expect(heard).toEqual([1, 3]);
});

test('a controller that does not carry it out tells its end all the same', async () => {
  const told: EvacuationView[] = [];
  const port = { store, hosts, picture: () => Promise.reject(new Error('none')) };
  const rest = { failed: () => undefined };
  await using follower = new Evacuations({
    ...{ ...port, ...rest, name: 'follower', leads: () => false, orders: () => null },
    changed: (view) => void told.push(view),
  });
  await using leader = new Evacuations({
    ...{ ...port, ...rest, name: 'leader', leads: () => true, orders: () => null, changed: () => undefined },
  });
  const { id } = await follower.request({ from: 'a' }, 'person');
  await leader.take();
  await waitUntil('the follower tells its end', () => told.some((view) => view.id === id && view.endedAtMs !== null));
});

describe('a host that is new', () => {
  const [a, b, c] = [outlook('a', 0.6, ['x', 'y']), outlook('b', 0.1), outlook('c', 0.1)] as const;
  const without = (...names: string[]) => {
    return { ...FILE, hosts: FILE.hosts.filter(({ name }) => !names.includes(name)) };
  };
  const filled = (views: readonly BalanceView[]) => views.flatMap(({ moves }) => moves.map(({ to }) => to));

  test('is filled once, by one of the controllers, and none of the fleet file is at the first look', async () => {
    const other = new Balancing(store, evacuations);
    expect(await balancing.fillNewHosts(seen([a], { file: without('c') }), true)).toEqual([]);
    // It was silent, but known.
    expect(await balancing.fillNewHosts(seen([a, b], { file: without('c') }), true)).toEqual([]);
    expect(await other.fillNewHosts(seen([a, b], { file: without('c') }), true)).toEqual([]);
    const list = vi.spyOn(store, 'list');
    await balancing.fillNewHosts(seen([a, b], { file: without('c') }), true);
    // What is known is not looked for in each round.
    expect(list).not.toHaveBeenCalled();
    const begun = await balancing.fillNewHosts(seen([a, b, c]), true);
    expect(filled(begun)).toContain('c');
    expect(await evacuations.list(10)).toMatchObject([{ from: 'a', to: 'c', initiator: 'newHost' }]);
    expect(await balancing.fillNewHosts(seen([a, b, c]), true)).toEqual([]);
    expect(await other.fillNewHosts(seen([a, b, c]), true)).toEqual([]);
  });

  test('and comes with another one has its turn when that is filled and the hosts have rested', async () => {
    await balancing.fillNewHosts(seen([a], { file: without('b', 'c') }), true);
    expect(filled(await balancing.fillNewHosts(seen([a, b, c]), true))).toEqual(['b']);
    const [{ id }] = (await evacuations.list(1)) as [EvacuationView];
    // That goes on.
    expect(await balancing.fillNewHosts(seen([a, b, c], { atMs: 1e12 + 700_000 }), true)).toEqual([]);
    await store.remove(`evacuation.${id}`);
    await store.remove('claim.a');
    expect(filled(await balancing.fillNewHosts(seen([a, b, c], { atMs: 1e12 + 300_000 }), true))).toEqual([]);
    expect(
      filled(await new Balancing(store, evacuations).fillNewHosts(seen([a, b, c], { atMs: 1e12 + 700_000 }), true)),
    ).toEqual(['c']);
  });

  test.each([
    ['how busy it is is not known yet', { ...c, pressure: undefined }, []],
    ['it is marked for maintenance', c, ['c']],
  ])('and cannot be filled is tried again: %s', async (_why, first, marked) => {
    await balancing.fillNewHosts(seen([a, b], { file: without('c') }), true);
    expect(filled(await balancing.fillNewHosts(seen([a, b, first as OutlookView], { marked }), true))).toEqual([]);
    expect(filled(await balancing.fillNewHosts(seen([a, b, c]), true))).toContain('c');
  });

  test('is filled also where the store fell silent just when it had come', async () => {
    await balancing.fillNewHosts(seen([a, b], { file: without('c') }), true);
    const silent = new GodwitError('GW_STORE_UNAVAILABLE', { store: 'x', reason: 'y' });
    vi.spyOn(evacuations, 'request').mockRejectedValueOnce(silent);
    await expect(balancing.fillNewHosts(seen([a, b, c]), true)).rejects.toThrow(silent);
    expect(filled(await new Balancing(store, evacuations).fillNewHosts(seen([a, b, c]), true))).toContain('c');
  });

  test('is known from then on where new hosts are not to be filled, as one is of which an earlier version has told', async () => {
    await store.write('known.b', { sinceMs: 1 }, null);
    expect(await balancing.fillNewHosts(seen([a, b, c]), false)).toEqual([]);
    expect(await new Balancing(store, evacuations).fillNewHosts(seen([a, b, c]), true)).toEqual([]);
  });
});

test('one host is evacuated once at a time, and an evacuation is found by its first characters', async () => {
  const { id } = await evacuations.request({ from: 'a' }, 'person');
  await expect(evacuations.request({ from: 'a', vms: ['x'] }, 'person')).rejects.toThrow(`already (${id})`);
  expect((await evacuations.show(id.slice(0, 6))).id).toBe(id);
  const newest = vi.spyOn(store, 'newest');
  expect((await evacuations.show(id)).id).toBe(id);
  // One that goes on is not sought among those that have ended.
  expect(newest).not.toHaveBeenCalled();
  expect((await evacuations.cancel(id)).isCancelling).toBe(true);
  await expect(evacuations.show('e-none')).rejects.toThrow('no evacuation named e-none');
});

test.each([
  ['no host is busy', [outlook('a', 0.2, ['x']), outlook('b', 0.1)], null],
  ['a is busy, but there is no VM that may leave', [outlook('a', 0.95, ['fixed1']), outlook('b', 0.1)], null],
  ['no VM would be better off at b', [outlook('a', 0.2), outlook('b', 0.1)], 'b'],
])('where nothing is to be moved it says why: %s', async (why, outlooks, newHost) => {
  const { words } = await balancing.balance(seen(outlooks), { ...ORDER, isDry: true, newHost });
  expect(words).toEqual([expect.stringContaining(`Nothing is to be moved: ${why}`)]);
});
