/** Evacuations that a controller carries out, from its store to its history; hosts are made up. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { vmOf } from '../../test/support/evacuation-trial.ts';
import { largerTest } from '../../test/support/further-cases.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import type { EvacuationView } from '../api/evacuation-schema.ts';
import type { GroupMigrationView } from '../api/group-migration-schema.ts';
import type { MigrationView } from '../api/migration-schema.ts';
import type { OutlookVm } from '../api/outlook-schema.ts';
import { GodwitError } from '../base/errors.ts';
import type { EvacuationHosts, GroupEnd } from './evacuation-port.ts';
import { EvacuationRecords } from './evacuation-records.ts';
import { Evacuations } from './evacuations.ts';
import { parseFleet } from './fleet-file.ts';
import { FleetHistory } from './fleet-history.ts';
import { picture } from './fleet-picture.ts';
import { requestedEvacuation } from './requested-evacuation.ts';
import { SqliteStore } from './sqlite-store.ts';

const GIB = 2 ** 30;
const FILE = parseFleet({ hosts: { a: { api: 'unix:/a' }, b: { api: 'unix:/b' } } }, '/');
const BUS = { sharedMemory: [{ name: 'bus', bytes: 4096 }] };
const SHARING = [vmOf('s', BUS), vmOf('t', BUS)];

let store: SqliteStore;
let open: AsyncDisposableStack;

beforeEach(() => {
  open = new AsyncDisposableStack();
  store = open.use(new SqliteStore(':memory:'));
});
afterEach(() => open.disposeAsync());

/** One migration of a group, g1, that ends when the test says so. @param vms - of host a @param looked - at each look at the hosts */
function begin(vms: readonly OutlookVm[], looked: () => void = () => undefined) {
  const { promise: groupEnd, resolve } = Promise.withResolvers<GroupEnd>();
  let isEnded = false;
  const endGroup = (end: GroupEnd): void => {
    isEnded = true;
    resolve(end);
  };
  const begun: string[] = [];
  const cancelled: string[] = [];
  const answer = (host: string) => {
    const place = { host, migration: `${host}:7710`, memoryBytes: 64 * GIB, bandwidthBytesPerSecond: 0, ways: {} };
    const isHere = (host === 'a') !== isEnded;
    return { name: host, askedAtMs: Date.now(), outlook: { ...place, outgoing: [], vms: isHere ? [...vms] : [] } };
  };
  const hosts = {
    beginGroup: async (_host: string, region: string) => {
      begun.push(region);
      return { id: 'g1' } as GroupMigrationView;
    },
    endOfGroup: () => groupEnd,
    cancelGroup: async (_host: string, id: string) => void cancelled.push(id),
  } as unknown as EvacuationHosts;
  const told: EvacuationView[] = [];
  let looks = 0;
  const look = async () => {
    looks++;
    looked();
    const seen = picture(FILE, ['a', 'b'].map(answer), Date.now());
    return { pictureFor: () => seen };
  };
  const evacuations = open.use(
    new Evacuations({
      ...{ store, hosts, name: 'test', leads: () => true, orders: () => null, failed: () => undefined },
      ...{ look, changed: (view) => void told.push(view) },
    }),
  );
  return { evacuations, told, begun, cancelled, endGroup, looks: () => looks };
}

/** Until the test ends it. */
function silence(): Disposable {
  const silent = async () => {
    throw new GodwitError('GW_STORE_UNAVAILABLE', { store: 'x', reason: 'y' });
  };
  const calls = (['read', 'list', 'write', 'remove', 'append', 'newest'] as const).map((call) =>
    vi.spyOn(store, call as 'list').mockImplementation(silent),
  );
  return {
    [Symbol.dispose]: () => {
      for (const call of calls) call.mockRestore();
    },
  };
}

const endedAt = (id: string, startedAt: number, vm = 's'): MigrationView =>
  ({
    direction: 'outgoing',
    report: { id, vm, from: 'a', to: 'b', startedAt, outcome: 'completed', error: null, mode: 'auto' },
  }) as unknown as MigrationView;

test('a VM that has moved with its group is in the history with what was predicted, while the group still moves', async () => {
  const { evacuations } = begin([...SHARING, vmOf('foreign', { migration: 'm-other' })]);
  const { id } = await evacuations.request({ from: 'a' }, 'person');
  await waitUntil('it is begun', async () =>
    (await evacuations.show(id)).vms.some(({ groupMigration }) => groupMigration),
  );
  const history = new FleetHistory(store, evacuations);
  await history.add([endedAt('m-before', Date.now() - 60_000)]);
  await history.add([endedAt('m-other', Date.now(), 'foreign')]);
  await history.add([endedAt('m-s', Date.now())]);
  expect((await evacuations.show(id)).vms.map(({ vm }) => vm).sort()).toEqual(['foreign', 's', 't']);
  expect(await history.newest(3)).toMatchObject([
    { id: 'm-s', evacuation: id, predicted: { bytes: expect.any(Object) } },
    { id: 'm-other', evacuation: null, predicted: null },
    { id: 'm-before', evacuation: null, predicted: null },
  ]);
});

test('one that is written down after the end of its evacuation is in the history with what was predicted', async () => {
  const { evacuations, begun, endGroup } = begin(SHARING);
  const { id } = await evacuations.request({ from: 'a' }, 'person');
  await waitUntil('it is begun', () => begun.length > 0);
  const migrations = ['s', 't'].map((vm) => ({ ...endedAt(`m-${vm}`, Date.now(), vm), id: `m-${vm}`, vm }));
  endGroup({ group: { state: 'completed', regions: [] } as unknown as GroupMigrationView, migrations });
  const { vms } = await waitUntil('it has ended', async () => {
    const view = await evacuations.show(id);
    return view.endedAtMs !== null && view;
  });
  expect(vms).toMatchObject([{ migration: 'm-s' }, { migration: 'm-t' }]);
  await waitUntil('it runs here no more', () => evacuations.carriedOut().length === 0);
  const history = new FleetHistory(store, evacuations);
  await history.add([...migrations, endedAt('m-later', Date.now() + 60_000)]);
  expect(await history.newest(3)).toMatchObject([
    { id: 'm-later', evacuation: null, predicted: null },
    ...['m-t', 'm-s'].map((each) => ({ id: each, evacuation: id, predicted: { bytes: expect.any(Object) } })),
  ]);
});

test('what is looked for in the history is found as far back as it is kept, newest first', async () => {
  const { evacuations } = begin([]);
  const history = new FleetHistory(store, evacuations);
  const names = ['s', ...Array(1500).fill('other'), 's', 's'];
  const kept = names.map((vm, i) => ({ id: `m-${i}`, vm, from: 'a', to: 'b' }));
  vi.spyOn(store, 'newest').mockImplementation(async (log, limit, skip = 0) =>
    log === 'migrations' ? kept.slice(skip, skip + limit) : [],
  );
  const found = async (limit: number) => (await history.search({ limit, vm: 's' })).migrations.map(({ id }) => id);
  expect(await found(5)).toEqual(['m-0', 'm-1501', 'm-1502']);
  expect(await found(2)).toEqual(['m-0', 'm-1501']);
  expect((await history.search({ limit: 3 })).migrations.map(({ id }) => id)).toEqual(['m-0', 'm-1', 'm-2']);
});

largerTest(
  'what a controller writes itself it neither reads again nor tells again; a plan that is as before is not written',
  async () => {
    const foreign = vmOf('foreign', { migration: 'm-other' });
    const { evacuations, told, looks } = begin([...SHARING, foreign]);
    await evacuations.take();
    const list = vi.spyOn(store, 'list');
    const write = vi.spyOn(store, 'write');
    const { id } = await evacuations.request({ from: 'a' }, 'person');
    // The second plan is a new one: what the first had begin is on its way.
    await waitUntil('it is begun and planned again', () => looks() >= 3);
    await waitUntil('it is told', () => told.some(({ vms }) => vms.some(({ groupMigration }) => groupMigration)));
    const [lists, writes, tellings] = [list.mock.calls.length, write.mock.calls.length, told.length];
    const before = looks();
    // It looks again each second while somebody else moves a VM.
    await waitUntil('it has planned twice more', () => looks() >= before + 2);
    expect(write.mock.calls.length - writes).toBe(0);
    expect(told.length - tellings).toBe(0);
    expect(list.mock.calls.length - lists).toBe(0);
    // For the request, for that it is taken, and for what came meanwhile.
    expect(lists).toBeLessThanOrEqual(6);
    expect((await evacuations.show(id)).state).toBe('running');
  },
);

test('a host can be evacuated again as soon as the end is told, also where its record is still there', async () => {
  const { evacuations, told } = begin([]);
  vi.spyOn(store, 'remove').mockRejectedValueOnce(new GodwitError('GW_STORE_UNAVAILABLE', { store: 'x', reason: 'y' }));
  const { id } = await evacuations.request({ from: 'a' }, 'person');
  await waitUntil('it has ended', () => told.some((view) => view.id === id && view.endedAtMs !== null));
  expect((await evacuations.request({ from: 'a' }, 'person')).id).not.toBe(id);
});

test('one whose host another one has got is not carried out, and says whose it is', async () => {
  const { evacuations, told } = begin(SHARING);
  const first = await evacuations.request({ from: 'a' }, 'person');
  // Whoever asked for it was held up between its claim and its record.
  const second = requestedEvacuation({ from: 'a' }, 'person');
  await new EvacuationRecords(store).add(second);
  await evacuations.take();
  const [refused] = told.filter(({ id }) => id === second.id);
  expect(refused).toMatchObject({ state: 'failed', error: { message: expect.stringContaining(`(${first.id})`) } });
  expect((await evacuations.list(10)).map(({ id, state }) => [id, state])).toEqual(
    expect.arrayContaining([
      [first.id, 'running'],
      [second.id, 'failed'],
    ]),
  );
});

test('of two that are asked for one host in the same moment the second is refused with the id of the first', async () => {
  const { evacuations } = begin([]);
  const asked = await Promise.allSettled([1, 2].map(() => evacuations.request({ from: 'a' }, 'person')));
  const begun = asked.flatMap((each) => (each.status === 'fulfilled' ? [each.value.id] : []));
  expect(begun).toHaveLength(1);
  const reasons = asked.flatMap((each) => (each.status === 'rejected' ? [String(each.reason)] : []));
  expect(reasons).toEqual([expect.stringContaining(`already (${begun[0]})`)]);
});

test('a VM that one of some VMs is to move is in no other one, also before it is planned', async () => {
  const { evacuations } = begin(SHARING);
  const { id } = await evacuations.request({ from: 'a', vms: ['s', 't'] }, 'person');
  expect([...(await evacuations.waiting())]).toEqual([
    ['s', id],
    ['t', id],
  ]);
  const again = evacuations.request({ from: 'a', vms: ['t', 'u'] }, 'balancer');
  await expect(again).rejects.toThrow(`it, or one of t, u, is being evacuated already (${id})`);
});

test('what runs here is shown, and cancelled at once, while the store is silent, which hears of it when it answers', async () => {
  const { evacuations, cancelled } = begin(SHARING);
  const { id } = await evacuations.request({ from: 'a' }, 'person');
  await waitUntil('it is begun', async () =>
    (await evacuations.show(id)).vms.some(({ groupMigration }) => groupMigration),
  );
  const outage = silence();
  expect(await evacuations.list(10)).toMatchObject([{ id, state: 'running' }]);
  await expect(evacuations.cancel('e-of-another')).rejects.toThrow('store');
  expect(await evacuations.cancel(id.slice(0, 8))).toMatchObject({ id, isCancelling: true });
  await waitUntil('the host is told to cancel', () => cancelled.includes('g1'));
  outage[Symbol.dispose]();
  await evacuations.take();
  expect((await store.list('cancel')).map(({ key }) => key)).toEqual([`cancel.${id}`]);
});

test('what was to begin when the store fell silent does not begin any more once it is cancelled', async () => {
  let outage: Disposable | undefined;
  const { evacuations, begun } = begin(SHARING, () => {
    outage ??= silence();
  });
  const { id } = await evacuations.request({ from: 'a' }, 'person');
  await waitUntil('it is to begin', async () => (await evacuations.list(1)).some(({ predictedMs }) => predictedMs));
  await evacuations.cancel(id);
  outage?.[Symbol.dispose]();
  await waitUntil('it is over', async () => (await evacuations.list(1))[0]?.endedAtMs);
  expect(await evacuations.show(id)).toMatchObject({
    state: 'cancelled',
    vms: [{ state: 'stayed' }, { state: 'stayed' }],
  });
  expect(begun).toEqual([]);
});
