import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { waitUntil } from '../../test/support/wait-until.ts';
import type { BalanceView } from '../api/balance-schema.ts';
import type { EvacuatedVmView, EvacuationView } from '../api/evacuation-schema.ts';
import type { OutlookView } from '../api/outlook-schema.ts';
import { GodwitError, type JsonValue } from '../base/errors.ts';
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

/** An evacuation is over, and that has become of its VMs. */
async function end(id: string | undefined, vms: readonly Partial<EvacuatedVmView>[], atMs: number): Promise<void> {
  const view = await evacuations.show(id ?? 'none');
  const ended = { ...view, state: 'incomplete', endedAtMs: atMs, vms };
  await store.append('evacuations', view.id, ended as unknown as JsonValue);
  await store.remove(`evacuation.${view.id}`);
  await store.remove(`claim.${view.from}`);
}

test('a VM of a busy host is moved, and its hosts rest from its arrival on, whoever looks next', async () => {
  const { moves, evacuations: begun } = await balancing.balance(seen(BUSY), ORDER);
  expect(moves.map(({ vm, from, to }) => [vm, from, to])).toEqual([['x', 'a', 'b']]);
  const [view] = await evacuations.list(10);
  expect(view).toMatchObject({ id: begun[0], from: 'a', to: 'b', onlyVms: ['x'], initiator: 'balancer' });
  const verdicts = async (atMs: number) =>
    (await new Balancing(store, evacuations).balance(seen(BUSY, { atMs }), { ...ORDER, isDry: true })).hosts.map(
      ({ verdict }) => verdict,
    );
  // Nothing has come or gone yet.
  expect(await verdicts(1e12 + 60_000)).toEqual(['busy', 'calm', 'calm']);
  await end(begun[0], [{ vm: 'x', state: 'arrived', to: 'b', endedAtMs: 1e12 + 90_000 }], 1e12 + 91_000);
  expect(await verdicts(1e12 + 92_000)).toEqual(['resting', 'resting', 'calm']);
  expect(await verdicts(1e12 + 689_000)).toEqual(['resting', 'resting', 'calm']);
  expect(await verdicts(1e12 + 691_000)).toEqual(['busy', 'calm', 'calm']);
});

test('a VM that has stayed is left alone, longer each time, and another one has its turn', async () => {
  const busy = [outlook('a', 0.9, ['x', 'y']), outlook('b', 0.1)];
  let atMs = 1e12;
  const look = () => new Balancing(store, evacuations).balance(seen(busy, { atMs }), ORDER);
  const chosen = async (): Promise<string[]> => {
    const { moves, evacuations: begun } = await look();
    const stayed = moves.map(({ vm }): Partial<EvacuatedVmView> => ({ vm, state: 'stayed', reason: 'b has no KVM' }));
    if (begun.length > 0) await end(begun[0], stayed, atMs);
    return moves.map(({ vm }) => vm);
  };
  expect(await chosen()).toEqual(['x']);
  atMs += 30_000;
  expect(await chosen()).toEqual(['y']);
  atMs += 30_000;
  expect((await look()).words).toEqual([
    'x is left alone for 59 m 0 s: it stayed when it was to go (b has no KVM)',
    expect.stringMatching(/^y is left alone for 59 m 30 s: /),
    expect.stringContaining('a is busy, but there is no VM that may leave'),
  ]);
  atMs = 1e12 + 3_700_000;
  expect([await chosen(), await chosen()]).toEqual([['x'], ['y']]);
  atMs += 7_100_000;
  expect(await chosen()).toEqual([]);
  atMs += 100_001;
  expect(await chosen()).toEqual(['x']);
});

test('a VM that has come at last is not remembered as one that stays', async () => {
  const [first, second] = [outlook('a', 0.9, ['x']), outlook('b', 0.1)] as const;
  const look = (atMs: number, outlooks = [first, second]) => balancing.balance(seen(outlooks, { atMs }), ORDER);
  await end((await look(1e12)).evacuations[0], [{ vm: 'x', state: 'stayed', reason: 'it was refused' }], 1e12);
  const again = await look(1e12 + 3_600_001);
  await end(again.evacuations[0], [{ vm: 'x', state: 'arrived', to: 'b', endedAtMs: 1e12 }], 1e12 + 3_700_000);
  await look(1e12 + 3_800_000, [outlook('a', 0.1), outlook('b', 0.2, ['x'])]);
  expect(await store.list('stayed')).toEqual([]);
});

test.each([
  [64 * GIB, []],
  [63 * GIB, ['b']],
  // Its migration has just begun, and does not know it yet.
  [0, []],
])('memory that a VM on its way will take is no room: %d bytes', async (ramBytes, chosen) => {
  const large = outlook('c', 0.5, ['z']);
  const vms = large.vms.map((vm) => ({ ...vm, migration: 'm1', ramBytes: ramBytes || 64 * GIB }));
  const outgoing = [{ id: 'm1', vm: 'z', to: 'b:7710', bytesPerSecond: 1e8, etaMs: 1000, ramBytes }];
  const [a, b] = [outlook('a', 0.9, ['x']), outlook('b', 0.1)];
  const { moves } = await balancing.balance(seen([a, b, { ...large, vms, outgoing }]), { ...ORDER, isDry: true });
  expect(moves.map(({ to }) => to)).toEqual(chosen);
});

test('of two who balance in the same moment, at two controllers, one begins', async () => {
  const both = [balancing, new Balancing(store, evacuations)];
  const views = await Promise.all(both.map((each) => each.balance(seen(BUSY), ORDER)));
  expect(views.map(({ evacuations: begun }) => begun.length).toSorted()).toEqual([0, 1]);
  expect(views.flatMap(({ words }) => words)).toContainEqual(expect.stringContaining('Nothing is begun'));
  expect(await evacuations.list(10)).toHaveLength(1);
});

test('a balance whose controller died before it had asked for anything holds up the others for 15 s', async () => {
  vi.spyOn(evacuations, 'request').mockRejectedValueOnce(new Error('the controller is killed'));
  await expect(balancing.balance(seen(BUSY), ORDER)).rejects.toThrow('killed');
  const other = new Balancing(store, evacuations);
  const begun = async (atMs: number) => (await other.balance(seen(BUSY, { atMs }), ORDER)).evacuations.length;
  expect([await begun(1e12), await begun(1e12 + 14_000), await begun(1e12 + 15_000)]).toEqual([0, 0, 1]);
});

test('what another evacuation keeps from beginning is told, and what else there is begins', async () => {
  const conflict = new GodwitError('GW_CONFLICT', { kind: 'host', name: 'a', reason: 'it is being evacuated' });
  vi.spyOn(evacuations, 'request').mockRejectedValueOnce(conflict);
  const { words, evacuations: begun } = await balancing.balance(seen(BUSY), ORDER);
  expect([words.at(-1), begun]).toEqual([expect.stringContaining('from a to b: '), []]);
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
  const filled = (views: readonly BalanceView[]) =>
    views.flatMap(({ moves, evacuations: begun }) => (begun.length > 0 ? moves.map(({ to }) => to) : []));

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
    await end(id, [{ vm: 'x', state: 'arrived', to: 'b', endedAtMs: 1e12 + 10_000 }], 1e12 + 10_000);
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
    const other = new Balancing(store, evacuations);
    // Whether the evacuation was written down is not known before.
    expect(filled(await other.fillNewHosts(seen([a, b, c]), true))).toEqual([]);
    expect(filled(await other.fillNewHosts(seen([a, b, c], { atMs: 1e12 + 15_000 }), true))).toContain('c');
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
