import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { vmOf } from '../../test/support/evacuation-trial.ts';
import type { EvacuationView } from '../api/evacuation-schema.ts';
import { GodwitError, type JsonValue } from '../base/errors.ts';
import { Fleet } from './fleet.ts';
import { parseFleet } from './fleet-file.ts';
import type { Answer } from './fleet-picture.ts';
import { MarkedHosts } from './marked-hosts.ts';
import { SqliteStore } from './sqlite-store.ts';

const SILENT = new GodwitError('GW_STORE_UNAVAILABLE', { store: 'x', reason: 'y' });
const LATER_MS = 20_000;

let open: AsyncDisposableStack;
let store: SqliteStore;
let fleet: Fleet;
/** At host a. */
let vms: readonly string[];

beforeEach(() => {
  open = new AsyncDisposableStack();
  store = open.use(new SqliteStore(':memory:'));
  // Nothing is carried out: what is asked for stays waiting.
  fleet = open.use(
    new Fleet({
      file: parseFleet({ hosts: { a: { api: 'unix:/a' }, b: { api: 'unix:/b' } } }, '/'),
      ...{
        store,
        name: 'test',
        controller: () => null,
        leads: () => false,
        orders: () => null,
        failed: () => undefined,
      },
    }),
  );
  vms = ['x', 'y'];
  vi.spyOn(fleet.hosts, 'ask').mockImplementation(async () => [answerOf('a', vms), answerOf('b', [])]);
});
afterEach(async () => {
  vi.restoreAllMocks();
  await open.disposeAsync();
});

function answerOf(host: string, names: readonly string[]): Answer {
  const rest = { migration: `${host}:7710`, memoryBytes: 2 ** 36, bandwidthBytesPerSecond: 0, ways: {}, outgoing: [] };
  return { name: host, askedAtMs: Date.now(), outlook: { host, ...rest, vms: names.map((name) => vmOf(name)) } };
}

/** As the one that leads looks, so much later. */
async function look(marked = new MarkedHosts(fleet.evacuations), laterMs = LATER_MS): Promise<EvacuationView[]> {
  const seen = await fleet.look(true);
  await marked.evacuate({ ...seen, atMs: seen.atMs + laterMs });
  return await fleet.listEvacuations(10);
}

async function markOnly(): Promise<void> {
  vi.spyOn(fleet.evacuations, 'request').mockRejectedValueOnce(SILENT);
  await expect(fleet.setMaintenance('a', { on: true })).rejects.toThrow(SILENT);
}

async function end(view: EvacuationView): Promise<void> {
  const ended = { ...view, state: 'incomplete', endedAtMs: Date.now() } as unknown as JsonValue;
  await store.append('evacuations', view.id, ended);
  await store.remove(`evacuation.${view.id}`);
  await store.remove('claim.a');
}

test('a host whose mark was written, and not its evacuation, is evacuated by the one that leads, once', async () => {
  await markOnly();
  // Whoever has marked it may be about to ask.
  expect(await look(undefined, 0)).toEqual([]);
  const marked = new MarkedHosts(fleet.evacuations);
  const [view] = await look(marked);
  expect(view).toMatchObject({ from: 'a', onlyVms: null, initiator: 'maintenance' });
  expect(await look(marked)).toHaveLength(1);
  await end(view!);
  expect(await look(marked)).toHaveLength(1);
  // Nor by another controller.
  expect(await look()).toHaveLength(1);
});

test.each([
  ['it was evacuated when it was marked', async () => void (await fleet.setMaintenance('a', { on: true }))],
  ['it was only marked', async () => void (await fleet.setMaintenance('a', { on: true, evacuate: false }))],
  ['an earlier version has marked it', () => store.write('maintenance.a', { sinceMs: 1, reason: null }, null)],
  [
    'the mark was taken away',
    async () => {
      await markOnly();
      await fleet.setMaintenance('a', { on: false });
    },
  ],
])('nothing more is asked for: %s', async (_why, mark) => {
  await mark();
  const before = await fleet.listEvacuations(10);
  for (const view of before) await end(view);
  expect((await look()).map(({ id }) => id)).toEqual(before.map(({ id }) => id));
});

test('one that is empty, or that some VMs just leave, has its turn when it is not', async () => {
  await markOnly();
  vms = [];
  expect(await look()).toEqual([]);
  vms = ['x'];
  const some = await fleet.evacuations.request({ from: 'a', vms: ['x'] }, 'person');
  expect(await look()).toHaveLength(1);
  await end(some);
  expect((await look()).map(({ initiator }) => initiator).sort()).toEqual(['maintenance', 'person']);
});

test('of a mark people are told what they have said', async () => {
  const { maintenance } = await fleet.setMaintenance('a', { on: true, reason: 'a fan' });
  expect(maintenance).toEqual({ sinceMs: expect.any(Number), reason: 'a fan' });
  expect((await fleet.fleet()).hosts[0]?.maintenance).toEqual(maintenance);
});
