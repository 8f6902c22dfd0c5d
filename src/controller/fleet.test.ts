/** What is told of a host that answers one question and fails at another; hosts are made up. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { vmOf } from '../../test/support/evacuation-trial.ts';
import { GodwitError } from '../base/errors.ts';
import { GodwitClient } from '../client/godwit-client.ts';
import { Fleet } from './fleet.ts';
import { parseFleet } from './fleet-file.ts';
import { SqliteStore } from './sqlite-store.ts';

const SILENT = new GodwitError('GW_API_UNREACHABLE', { url: 'unix:/a', reason: 'ECONNRESET' });
const UNAUTHORIZED = new GodwitError('GW_API_UNAUTHORIZED', { fix: 'give a token' });

let open: AsyncDisposableStack;
let fleet: Fleet;

beforeEach(() => {
  open = new AsyncDisposableStack();
  fleet = open.use(
    new Fleet({
      file: parseFleet({ hosts: { a: { api: 'unix:/a' } } }, '/'),
      store: open.use(new SqliteStore(':memory:')),
      ...{ name: 'test', controller: () => null, leads: () => false, failed: () => undefined },
    }),
  );
});
afterEach(async () => {
  vi.restoreAllMocks();
  await open.disposeAsync();
});

test.each([
  ['falls silent', SILENT, { state: 'up', failure: null }],
  ['answers with an error', UNAUTHORIZED, { state: 'refusing', failure: expect.stringContaining('give a token') }],
])('a host that %s when it is asked for its migrations is shown so', async (_what, error, host) => {
  vi.spyOn(GodwitClient.prototype, 'outlook').mockResolvedValue({
    ...{ host: 'a', migration: 'a:7710', memoryBytes: 2 ** 36, bandwidthBytesPerSecond: 0, ways: {}, outgoing: [] },
    vms: [vmOf('x', { migration: 'm1' })],
  });
  vi.spyOn(GodwitClient.prototype, 'listMigrations').mockRejectedValue(error);
  expect(await fleet.fleet()).toMatchObject({ hosts: [host], migrations: [] });
});

test('a host that answered no order, and refuses when that is sought, is told of by its refusal', async () => {
  vi.spyOn(GodwitClient.prototype, 'migrate').mockRejectedValue(SILENT);
  const list = vi.spyOn(GodwitClient.prototype, 'listMigrations').mockRejectedValue(UNAUTHORIZED);
  await expect(fleet.hosts.begin('a', 'x', { to: 'b:1' })).rejects.toThrow(UNAUTHORIZED);
  list.mockResolvedValue([]);
  await expect(fleet.hosts.begin('a', 'x', { to: 'b:1' })).rejects.toThrow(SILENT);
});
