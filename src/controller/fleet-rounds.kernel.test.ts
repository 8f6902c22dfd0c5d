/** What a controller does by itself, over the API of hosts that say what the test wants. */
import { afterEach, expect, test } from 'vitest';
import { accessWith } from '../../test/support/api-access.ts';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import { EventHub } from '../api/event-hub.ts';
import { openApiListener } from '../api/listen.ts';
import type { MigrationView } from '../api/migration-schema.ts';
import type { OutlookView } from '../api/outlook-schema.ts';
import { buildApiServer } from '../api/server.ts';
import type { HostService } from '../api/service.ts';
import { SYSTEM_CLOCK } from '../base/clock.ts';
import { Fleet } from './fleet.ts';
import { parseFleet } from './fleet-file.ts';
import { FleetRounds } from './fleet-rounds.ts';
import { SqliteStore } from './sqlite-store.ts';

const GIB = 2 ** 30;
let open = new AsyncDisposableStack();

afterEach(async () => {
  await open.disposeAsync();
  open = new AsyncDisposableStack();
});

interface ToldHost {
  readonly url: string;
  /** What it was asked to move, and to where. */
  readonly asked: string[];
  /** How often it was asked how it is. */
  looks(): number;
  /** It says that something has changed, so that it is looked at soon. */
  tell(): void;
}

/** Hosts that do not tell which migrations they know, by name. */
type Untold = Readonly<Record<string, () => Promise<never>>>;

/** All that is asked of it succeeds at once: the VM is at b. @param places - of all VMs */
async function openHost(
  directory: TempDirectory,
  name: string,
  cpuPart: number,
  places: Map<string, string>,
  untold: Untold,
): Promise<ToldHost> {
  const asked: string[] = [];
  let looks = 0;
  const outlook = (): OutlookView => ({
    host: name,
    migration: `127.0.0.1:${name === 'a' ? 1 : 2}`,
    memoryBytes: 64 * GIB,
    bandwidthBytesPerSecond: 0,
    pressure: { cpus: 8, cpuPart, memoryBytes: 64 * GIB, memoryPart: 0.2, cpuStallPart: null, memoryStallPart: null },
    ways: {},
    outgoing: [],
    vms: [...places]
      .flatMap(([vm, at]) => (at === name ? [vm] : []))
      .map((vm) => ({
        ...{ name: vm, uuid: vm, state: 'running', migration: null, ramBytes: GIB, dataPages: 1000, cpus: 2 },
        ...{ samples: [], contents: null, sharedMemory: [] },
      })),
  });
  const ended = (vm: string): MigrationView => {
    const report = {
      id: `m-${vm}`,
      vm,
      from: name,
      to: 'b',
      outcome: 'completed',
      mode: 'auto',
      startedAt: 5,
      totalMs: 7,
    };
    const view = { id: `m-${vm}`, vm, direction: 'outgoing', state: 'completed', startedAtMs: Date.now() };
    return { ...view, report: { ...report, wireBytes: 9, downtimeMs: 3, error: null } } as unknown as MigrationView;
  };
  const events = new EventHub(SYSTEM_CLOCK);
  const service = {
    events,
    outlook: () => {
      looks++;
      return outlook();
    },
    listMigrations: () => untold[name]?.() ?? asked.map((each) => ended(each.split(' ')[0]!)),
    showMigration: (id: string) => ended(id.slice(2)),
    migrateVm: async (vm: string, { to }: { to: string }) => {
      asked.push(`${vm} ${to}`);
      places.set(vm, 'b');
      return ended(vm);
    },
  } as unknown as HostService;
  const app = await buildApiServer({ service, access: accessWith(null), version: '0.0.0' });
  open.defer(() => app.close());
  const path = directory.join(`${name}.sock`);
  const listener = await openApiListener({ kind: 'unix', path }, (request, response) => app.routing(request, response));
  open.defer(() => listener.close());
  const tell = (): void => void events.emit({ kind: 'vmRemoved', name: 'z', reason: 'it ended' });
  return { url: listener.url, asked, looks: () => looks, tell };
}

/** @param leads - else what is asked for stays waiting */
async function begin(
  settings: object,
  leads = true,
  known: readonly string[] = [],
  untold: Untold = {},
): Promise<{ a: ToldHost; fleet: Fleet; store: SqliteStore; told: string[] }> {
  const directory = open.use(new TempDirectory());
  const places = new Map([
    ['x', 'a'],
    ['y', 'a'],
  ]);
  const a = await openHost(directory, 'a', 0.95, places, untold);
  const b = await openHost(directory, 'b', 0.1, places, untold);
  const file = parseFleet({ hosts: { a: { api: a.url }, b: { api: b.url } }, ...settings }, '/');
  const store = open.use(new SqliteStore(':memory:'));
  for (const host of known) await store.write(`known.${host}`, { sinceMs: 0 }, null);
  const self = {
    name: 'c',
    version: '0',
    store: 'sqlite',
    storeFailure: null,
    leads: true,
    leader: 'c',
    startedAtMs: 0,
  } as const;
  const fleet = open.use(
    new Fleet({
      file,
      store,
      name: 'c',
      controller: () => self,
      leads: () => leads,
      orders: () => null,
      failed: () => undefined,
    }),
  );
  const told: string[] = [];
  open.use(new FleetRounds({ fleet, leads: () => leads, told: (reason) => void told.push(String(reason)) }));
  return { a, fleet, store, told };
}

/** Whatever the first of them was to do is done. */
async function roundsOf(host: ToldHost, rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    const before = host.looks();
    const isLookedAt = (): boolean => {
      host.tell();
      return host.looks() > before;
    };
    await waitUntil('it is looked at', isLookedAt, { intervalMs: 50 });
  }
}

test('an automatic balancer has VMs of a busy host moved', async () => {
  const { a, fleet } = await begin({ balance: { automatic: true } });
  await waitUntil('it is moved', () => a.asked.length > 0);
  expect(a.asked).toEqual([expect.stringMatching(/^[xy] 127\.0\.0\.1:2$/)]);
  const [view] = await waitUntil('it has ended', async () => {
    const ended = (await fleet.listEvacuations(10)).filter(({ endedAtMs }) => endedAtMs !== null);
    return ended.length > 0 && ended;
  });
  expect(view).toMatchObject({ initiator: 'balancer', from: 'a', to: 'b', onlyVms: ['x', 'y'] });
});

test('without being told to it moves nothing, tells how hosts are, and catches up with what had ended', async () => {
  const { a, fleet } = await begin({});
  a.asked.push('x elsewhere');
  const told: string[] = [];
  fleet.events.listen((event) => {
    if (event.kind === 'fleetHostChanged') told.push(`${event.host.name} ${event.host.state} ${event.vms.length}`);
  });
  const { migrations } = await waitUntil('it has caught up', async () => {
    const history = await fleet.history({ limit: 10 });
    return history.migrations.length > 0 && history;
  });
  expect(migrations).toMatchObject([{ id: 'm-x', vm: 'x', predicted: null, evacuation: null, actual: { bytes: 9 } }]);
  expect(told.sort()).toEqual(['a up 2', 'b up 0']);
  expect(await fleet.listEvacuations(10)).toEqual([]);
});

test('a host that was never heard before gets VMs, if it is to', async () => {
  const { fleet, a, store } = await begin({ balance: { newHosts: true, cpu: 1 } }, true, ['a']);
  await waitUntil('it is moved', () => a.asked.length > 0);
  expect((await fleet.listEvacuations(10)).map(({ initiator }) => initiator)).toEqual(['newHost']);
  expect((await store.list('known')).map(({ key }) => key)).toEqual(['known.a', 'known.b']);
});

test('a host whose mark outlived the controller that was to evacuate it is evacuated', async () => {
  const { fleet, a, store } = await begin({});
  await store.write('maintenance.a', { sinceMs: 1, reason: null, leftSinceMs: Date.now() - 60_000 }, null);
  await waitUntil('both are moved', () => a.asked.length === 2);
  expect((await fleet.listEvacuations(10)).map(({ from, initiator }) => [from, initiator])).toEqual([
    ['a', 'maintenance'],
  ]);
});

test.each([
  ['fail', () => Promise.reject(new Error('no such table')), [expect.stringMatching(/^the migrations of host b: /)]],
  ['take for ever', () => new Promise<never>((resolve) => open.defer(() => resolve(undefined as never))), []],
] as const)('migrations of a host that %s to be told hold up nothing, and that is said once', async (_, untold, said) => {
  const { fleet, a, store, told } = await begin({}, true, [], { b: untold });
  await store.write('maintenance.a', { sinceMs: 1, reason: null, leftSinceMs: Date.now() - 60_000 }, null);
  await waitUntil('both are moved', () => a.asked.length === 2);
  await roundsOf(a, 3);
  expect((await fleet.listEvacuations(10)).map(({ from }) => from)).toEqual(['a']);
  expect(told.filter((each) => each !== 'null')).toEqual(said);
});

test('of the hosts that are there at the very first look none counts as new', async () => {
  const { a, fleet, store } = await begin({ balance: { newHosts: true, cpu: 1 } });
  await waitUntil('both are known', async () => (await store.list('known')).length === 2);
  await roundsOf(a, 2);
  expect(await fleet.listEvacuations(10)).toEqual([]);
  expect(a.asked).toEqual([]);
});

test('of hosts that are evacuated none gets VMs of another', async () => {
  const { fleet } = await begin({}, false);
  const { id } = await fleet.evacuate({ from: 'b' });
  await expect(fleet.evacuate({ from: 'a', to: 'b' })).rejects.toThrow(`being evacuated itself (${id})`);
  const plan = await fleet.plan({ host: 'a' });
  expect(plan.refused.map(({ vm, why }) => [vm, why.kind])).toEqual([
    ['x', 'noRoom'],
    ['y', 'noRoom'],
  ]);
  const [, b] = (await fleet.fleet()).hosts;
  expect(b?.takesVms).toBe(false);
});

test('a host some of whose VMs just leave is not taken for one that is evacuated', async () => {
  const { fleet } = await begin({}, false);
  const { id } = await fleet.evacuate({ from: 'a', vms: ['x'] });
  await expect(fleet.setMaintenance('a', { on: true })).rejects.toThrow(`evacuation ${id} moves some of its VMs`);
  expect((await fleet.fleet()).hosts[0]?.maintenance).toBeNull();
  expect(await fleet.setMaintenance('a', { on: true, evacuate: false })).toMatchObject({ evacuation: null });
});

test.each([
  ['vms', { vms: ['z'] }],
  ['skip', { skip: ['z'] }],
  ['together', { together: [['x', 'z']] }],
])('a name in %s that no VM has is refused, and nothing begins', async (field, asked) => {
  const { fleet } = await begin({}, false);
  const wrong = { details: { field, value: 'z', fix: 'give some of x, y' } };
  await expect(fleet.evacuate({ from: 'a', ...asked })).rejects.toMatchObject(wrong);
  if (field !== 'vms') await expect(fleet.plan({ host: 'a', ...asked })).rejects.toMatchObject(wrong);
  expect(await fleet.listEvacuations(10)).toEqual([]);
});

test('a plan leaves where it is what an evacuation would leave there', async () => {
  const policies = { pinned: { vms: { fixed: 'yes' }, stays: true } };
  const { fleet } = await begin({ vms: { x: { labels: { fixed: 'yes' } } }, policies }, false);
  const { moves, refused } = await fleet.plan({ host: 'a' });
  expect(moves.map(({ vm }) => vm)).toEqual(['y']);
  expect(refused).toMatchObject([{ vm: 'x', text: expect.stringContaining('by the policy pinned it stays') }]);
});
