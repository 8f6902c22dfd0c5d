/** What is told of a host that answers one question and fails at another; hosts are made up. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { vmOf } from '../../test/support/evacuation-trial.ts';
import type { OutlookVm } from '../api/outlook-schema.ts';
import { GodwitError } from '../base/errors.ts';
import { GodwitClient } from '../client/godwit-client.ts';
import { Fleet } from './fleet.ts';
import { parseFleet } from './fleet-file.ts';
import type { Answer } from './fleet-picture.ts';
import { SqliteStore } from './sqlite-store.ts';

const SILENT = new GodwitError('GW_API_UNREACHABLE', { url: 'unix:/a', reason: 'ECONNRESET' });
const UNAUTHORIZED = new GodwitError('GW_API_UNAUTHORIZED', { fix: 'give a token' });

let open: AsyncDisposableStack;
let fleet: Fleet;

beforeEach(() => {
  open = new AsyncDisposableStack();
  fleet = open.use(
    new Fleet({
      file: parseFleet({ hosts: { a: { api: 'unix:/a' }, b: { api: 'unix:/b' } }, together: [['web', 'db']] }, '/'),
      store: open.use(new SqliteStore(':memory:')),
      ...{ name: 'test', controller: () => null, leads: () => false, orders: () => null, failed: () => undefined },
    }),
  );
});
afterEach(async () => {
  vi.restoreAllMocks();
  await open.disposeAsync();
});

const answerOf = (host: string, vms: readonly OutlookVm[]): Answer => ({
  name: host,
  askedAtMs: Date.now(),
  outlook: {
    ...{
      host,
      migration: `${host}.net:7710`,
      memoryBytes: 2 ** 36,
      bandwidthBytesPerSecond: 0,
      ways: {},
      outgoing: [],
    },
    vms: [...vms],
  },
});

test.each([
  ['falls silent', SILENT, { state: 'up', failure: null }],
  ['answers with an error', UNAUTHORIZED, { state: 'refusing', failure: expect.stringContaining('give a token') }],
])('a host that %s when it is asked for its migrations is shown so', async (_what, error, host) => {
  vi.spyOn(fleet.hosts, 'ask').mockResolvedValue([answerOf('a', [vmOf('x', { migration: 'm1' })])]);
  vi.spyOn(GodwitClient.prototype, 'listMigrations').mockRejectedValue(error);
  expect(await fleet.fleet()).toMatchObject({ hosts: [host, { name: 'b' }], migrations: [] });
});

test('a host that answered no order, and refuses when that is sought, is told of by its refusal', async () => {
  vi.spyOn(GodwitClient.prototype, 'migrate').mockRejectedValue(SILENT);
  const list = vi.spyOn(GodwitClient.prototype, 'listMigrations').mockRejectedValue(UNAUTHORIZED);
  await expect(fleet.hosts.begin('a', 'x', { to: 'b:1', requestId: 'r1' })).rejects.toThrow(UNAUTHORIZED);
  list.mockResolvedValue([]);
  await expect(fleet.hosts.begin('a', 'x', { to: 'b:1', requestId: 'r1' })).rejects.toThrow(SILENT);
});

test('a plan says which VMs go as one, and of those that share memory when only once', async () => {
  const shared = { sharedMemory: [{ name: 'bus', bytes: 4096 }] };
  const vms = [vmOf('s', shared), vmOf('t', shared), vmOf('web'), vmOf('db'), vmOf('alone')];
  vi.spyOn(fleet.hosts, 'ask').mockResolvedValue([answerOf('a', vms), answerOf('b', [])]);
  const { bundles, moves, words } = await fleet.plan({ host: 'a' });
  expect(bundles).toEqual([
    { vms: ['s', 't'], region: 'bus', text: 's and t share memory (bus) and go as one group: all arrive, or all stay' },
    { vms: ['db', 'web'], region: null, text: 'db and web go together: they begin at one moment and go to one host' },
  ]);
  const texts = new Map(moves.map(({ vm, text }) => [vm, text]));
  const shares = [texts.get('s'), texts.get('t')];
  expect(shares).toContainEqual(
    expect.stringMatching(/^. goes to b together with ., with which it shares memory \(bus\)$/),
  );
  expect(shares).toContainEqual(expect.stringMatching(/MiB.*, together with ., with which it shares memory \(bus\)$/));
  expect(texts.get('alone')).not.toContain('together');
  expect(words).toEqual(expect.arrayContaining([...texts.values(), ...bundles.map(({ text }) => text)]));
});

test.each([
  ['is marked', () => fleet.setMaintenance('b', { on: true, evacuate: false })],
  ['is being evacuated', () => fleet.evacuate({ from: 'b' })],
])('a plan to a host that %s is refused in the words in which the evacuation is', async (_what, close) => {
  vi.spyOn(fleet.hosts, 'ask').mockResolvedValue([answerOf('a', []), answerOf('b', [])]);
  await fleet.plan({ host: 'a', to: 'b' });
  await close();
  const refusal = await fleet.evacuate({ from: 'a', to: 'b' }).catch((error: unknown) => error as GodwitError);
  await expect(fleet.plan({ host: 'a', to: 'b' })).rejects.toThrow(refusal as GodwitError);
  expect(refusal).toMatchObject({ code: 'GW_CONFLICT' });
});

test('every look tells which hosts get no VMs, and why', async () => {
  vi.spyOn(fleet.hosts, 'ask').mockResolvedValue([answerOf('a', []), answerOf('b', [])]);
  await fleet.setMaintenance('b', { on: true, evacuate: false });
  await fleet.evacuate({ from: 'a' });
  const { picture } = await fleet.look(true);
  expect([...picture.closed]).toEqual([
    ['a', 'it is being evacuated itself'],
    ['b', 'it is marked for maintenance'],
  ]);
  expect(picture.base.hosts.map(({ takesVms }) => takesVms)).toEqual([false, false]);
});

test('who asks for an evacuation to a host that nobody reaches at its address is told at once', async () => {
  const hosts = { a: { api: 'http://10.0.0.1:7700' }, b: { api: 'http://10.0.0.2:7700', migration: '127.0.0.1:7710' } };
  await using far = new Fleet({
    ...{ file: parseFleet({ hosts }, '/'), store: open.use(new SqliteStore(':memory:')), name: 'test' },
    ...{ controller: () => null, leads: () => false, orders: () => null, failed: () => undefined },
  });
  vi.spyOn(far.hosts, 'ask').mockResolvedValue([answerOf('a', []), answerOf('b', [])]);
  await expect(far.evacuate({ from: 'a' })).rejects.toThrow(/hosts\.b\.migration/);
  expect(await far.evacuate({ from: 'b' })).toMatchObject({ state: 'waiting' });
});

test('who leads by which epoch is for its controller to say, and without one nobody is', async () => {
  const conflict = { code: 'GW_CONFLICT', message: expect.stringContaining('there is none') };
  await expect(fleet.lead({ atLeast: 3 })).rejects.toMatchObject(conflict);
});

test('a recording waits for what hosts tell piece by piece', async () => {
  const told = (contents: string | null) => answerOf('a', [vmOf('x', { contents })]);
  const ask = vi.spyOn(fleet.hosts, 'ask').mockResolvedValue([told('all')]);
  ask.mockResolvedValueOnce([{ ...told(null), isPartial: true }]);
  const { outlooks } = await fleet.recording();
  expect(outlooks[0]!.vms[0]!.contents).toBe('all');
  expect(ask).toHaveBeenCalledTimes(2);
});

test('a plan says which hosts have not told all yet', async () => {
  const partial = { ...answerOf('a', [vmOf('x')]), isPartial: true };
  vi.spyOn(fleet.hosts, 'ask').mockResolvedValue([partial, answerOf('b', [])]);
  const { words } = await fleet.plan({ host: 'a' });
  expect(words).toContainEqual(expect.stringMatching(/^host a has not told in time what is in all of its VMs/));
});
