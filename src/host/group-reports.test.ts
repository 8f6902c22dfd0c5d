import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import type { GroupMigrationView } from '../api/group-migration-schema.ts';
import { GodwitError } from '../base/errors.ts';
import { GroupReports, undoneReport } from './group-reports.ts';

const SILENT = { error: () => undefined };
const REGION = {
  ...{ name: 'bus', sizeBytes: 4096, pages: 1, pagesLeft: 0, requestedPages: 1, pushedPages: 0, lentPages: 0 },
  ...{ sentAgainPages: 0, wireBytes: 9, connected: true },
};

function report(id: string, startedAtMs: number): GroupMigrationView {
  const called = { page: 3, region: 'bus', ms: 7 };
  return {
    ...{ id, group: 'bus', to: 'b:7710', order: 'together', state: 'failed', startedAtMs, totalMs: 5 },
    members: [
      { vm: 'a', migration: 'm', state: 'moved', downtimeMs: 2, downtimeParts: null, stoppedBy: called, attempts: 1 },
    ],
    waitsFor: null,
    regions: [REGION],
    notes: ['noted'],
    error: new GodwitError('GW_MIGRATION_CANCELLED').toBody(),
  };
}

test('the next daemon knows what was kept, newest first, and no more than was asked for', () => {
  using directory = new TempDirectory();
  const reports = new GroupReports(directory.path, 2, SILENT);
  for (const [index, id] of ['z', 'y', 'x'].entries()) reports.save(report(id, index));
  const next = new GroupReports(directory.path, 2, SILENT);
  expect(next.list()).toEqual([report('x', 2), report('y', 1)]);
  expect([next.get('y'), next.get('z')]).toEqual([report('y', 1), undefined]);
  expect(readdirSync(join(directory.path, 'group-migrations')).sort()).toEqual(['x.json', 'y.json']);
});

test('a daemon that is to keep fewer forgets the oldest when it starts', () => {
  using directory = new TempDirectory();
  const reports = new GroupReports(directory.path, 3, SILENT);
  for (const [index, id] of ['y', 'x', 'z'].entries()) reports.save(report(id, index));
  expect([...new GroupReports(directory.path, 1, SILENT).ids()]).toEqual(['z']);
  expect(readdirSync(join(directory.path, 'group-migrations'))).toEqual(['z.json']);
});

test('one of an earlier version has nothing to say in fields that it did not know', () => {
  using directory = new TempDirectory();
  new GroupReports(directory.path, 2, SILENT).save(report('x', 0));
  const path = join(directory.path, 'group-migrations', 'x.json');
  const { waitsFor: _waits, members, ...known } = JSON.parse(readFileSync(path, 'utf8'));
  writeFileSync(
    path,
    JSON.stringify({
      ...known,
      members: members.map(({ downtimeParts: _, ...member }: object & { downtimeParts: null }) => member),
    }),
  );
  expect(new GroupReports(directory.path, 2, SILENT).list()).toEqual([report('x', 0)]);
});

test('one that cannot be read is told and left, and half of one is removed', () => {
  using directory = new TempDirectory();
  new GroupReports(directory.path, 2, SILENT).save(report('x', 0));
  const path = (name: string): string => join(directory.path, 'group-migrations', name);
  writeFileSync(path('damaged.json'), '{"id":');
  writeFileSync(path('half.json.new'), '{');
  const told: object[] = [];
  const error = (facts: unknown): void => void told.push(facts as object);
  const next = new GroupReports(directory.path, 2, { error });
  expect([...next.ids()]).toEqual(['x']);
  expect(told).toMatchObject([{ path: path('damaged.json') }]);
  expect(readFileSync(path('damaged.json'), 'utf8')).toBe('{"id":');
  expect(readdirSync(path('.')).sort()).toEqual(['damaged.json', 'x.json']);
});

test('one that cannot be removed is told, and ends neither a migration nor the start of the daemon', () => {
  using directory = new TempDirectory();
  const path = (name: string): string => join(directory.path, 'group-migrations', name);
  new GroupReports(directory.path, 2, SILENT).save(report('x', 0));
  const told: object[] = [];
  const error = (facts: unknown): void => void told.push(facts as object);
  const reports = new GroupReports(directory.path, 1, { error });
  rmSync(path('x.json'));
  // Not even root removes a directory as a file.
  mkdirSync(path('x.json'));
  reports.save(report('y', 1));
  expect([...reports.ids()]).toEqual(['y']);
  expect(told).toMatchObject([{ migration: 'x' }]);
});

test('of a group whose host went down while it was divided it is told which VMs had moved', () => {
  const member = { downtimeMs: null, downtimeParts: null, stoppedBy: null, attempts: 1 };
  const record = {
    ...{ id: 'g1', name: 'bus', body: { to: 'b:7710' }, vms: ['a', 'b', 'c'], startedAtMs: 0, regions: [] },
    members: [
      { ...member, vm: 'a', migration: 'm1', state: 'moved' as const },
      { ...member, vm: 'b', migration: 'm2', state: 'moving' as const },
    ],
  };
  const { members, error } = undoneReport(record);
  expect(members.map(({ state }) => state)).toEqual(['moved', 'failed', 'waiting']);
  expect(error?.message).toContain('in phase split');
  expect(undoneReport({ ...record, members: [] }).error?.message).toContain('in phase preparing');
});
