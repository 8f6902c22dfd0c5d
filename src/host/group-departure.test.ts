import { beforeEach, expect, test } from 'vitest';
import type { GroupMemberView } from '../api/group-migration-schema.ts';
import { GodwitError } from '../base/errors.ts';
import type { MigrationHandle } from '../migration/handle.ts';
import { type DepartingHost, portOfDeparture } from './group-departure.ts';
import type { GroupMigrationPort } from './group-migration-port.ts';
import type { LeavingGroupFiles } from './leaving-group.ts';
import { newMemberView } from './member-outcome.ts';
import { Migrations, type MigrationsOptions } from './migrations.ts';

const GROUP = { name: 'bus', vms: ['a', 'b'], regions: [] };
const RECORD = { id: 'g1', body: { to: 'there:7710', mode: 'auto', modes: { b: 'post-copy' }, first: 'b' } };

/** Of VMs that are here still as far as the host's records tell: a daemon was killed. */
let reports: Record<string, { from: string; owner: string }>;
let members: GroupMemberView[];
let commands: unknown[];
let requests: unknown[];

beforeEach(() => {
  [reports, members, commands, requests] = [{}, [], [], []];
});

function port({ isFull = false, here = ['a', 'b'], owner = 'here' } = {}): GroupMigrationPort {
  const store = { get: (id: string) => reports[id], hasGiven: (id: string) => reports[id]?.owner === 'there' };
  const migrations = new Migrations({ store } as unknown as MigrationsOptions);
  const command = async (order: unknown): Promise<void> => {
    commands.push(order);
    if (owner === 'there') throw new GodwitError('GW_CONFLICT', { kind: 'Migration', name: 'm1', reason: 'too late' });
  };
  const handle = { id: 'm1', command, ended: Promise.resolve({ owner }) };
  migrations.begin = async (vm, request) => {
    requests.push([vm, request]);
    return handle as unknown as MigrationHandle;
  };
  const host = {
    hostName: 'here',
    registry: { find: (name: string) => (here.includes(name) ? { record: { name } } : undefined) },
    migrations,
    events: { emit: () => undefined },
  } as unknown as DepartingHost;
  const files = {
    record: RECORD,
    isOf: () => true,
    member: (vm: string) => members.find((member) => member.vm === vm),
    began: (vm: string, migration: string) => {
      if (isFull) throw new GodwitError('GW_SYS_NO_ROOM', { what: 'the record' });
      members.push({ ...newMemberView(vm), migration });
    },
  } as unknown as LeavingGroupFiles;
  return portOfDeparture(host, GROUP, files, { recovered: Promise.resolve(), resumes: true });
}

test.each([
  ['whose migration has given it away', 'm1', { from: 'here', owner: 'there' }, false],
  ['whose migration has failed', 'm1', { from: 'here', owner: 'here' }, true],
  ['of which another migration, whenever it was, says that it has gone', 'm2', { from: 'here', owner: 'there' }, true],
] as const)('after a restart a VM %s', async (_, reported, report, isHere) => {
  members = [{ ...newMemberView('a'), migration: 'm1', state: 'moving' }];
  reports = { [reported]: report };
  expect(await port().isHere('a')).toBe(isHere);
});

test('after a restart a VM is gone that had moved, and one that nobody knows any more', async () => {
  members = [{ ...newMemberView('a'), migration: 'm1', state: 'moved' }];
  expect(await port().isHere('a')).toBe(false);
  expect(await port({ here: ['a'] }).isHere('b')).toBe(false);
  expect(await port().isHere('b')).toBe(true);
});

test('the migration of a VM is written down when it begins; where that cannot be it does not go on', async () => {
  await port().start('a', false);
  expect(members).toMatchObject([{ vm: 'a', migration: 'm1' }]);
  await expect(port({ isFull: true }).start('b', false)).rejects.toMatchObject({ code: 'GW_SYS_NO_ROOM' });
  expect(commands).toEqual([{ kind: 'cancel' }]);
});

test('where it is too late to call one back that could not be written down, it has gone, and its group hears it', async () => {
  const handle = await port({ isFull: true, owner: 'there' }).start('b', false);
  expect([handle.id, commands]).toEqual(['m1', [{ kind: 'cancel' }]]);
});

test('each VM moves by its own mode, or else by that of all', async () => {
  for (const vm of ['a', 'b']) await port().start(vm, false);
  expect(requests).toEqual([
    ['a', { to: 'there:7710', mode: 'auto' }],
    ['b', { to: 'there:7710', mode: 'post-copy' }],
  ]);
});
