import { expect, test } from 'vitest';
import type { GroupMigrationView } from '../api/group-migration-schema.ts';
import type { GroupDetailView } from '../api/group-schema.ts';
import { renderGroup, renderGroupList, renderGroupMigration, renderGroupMigrationList } from './group-view.ts';

const GROUP: GroupDetailView = {
  name: 'bus',
  regions: [
    { name: 'bus', sizeBytes: 2 ** 24, path: '/dev/shm/r-bus', vms: ['a', 'b'], problem: null },
    { name: 'log', sizeBytes: 2 ** 20, path: '/dev/shm/r-log', vms: ['b'], problem: 'its file /dev/shm/r-log is gone' },
  ],
  vms: [
    { name: 'a', state: 'running', pid: 7 },
    { name: 'b', state: 'unknown', pid: null },
  ],
  migration: null,
  strangers: [{ pid: 31, command: 'ivshmem-reader /dev/shm/r-bus', region: 'bus', use: 'holds open' }],
};

test('a list has a line for each group', () => {
  expect(renderGroupList([GROUP])).toBe('NAME  REGIONS     SHARED  VMS   MOVES\nbus   bus, log  17.0 MiB  a, b  -');
  expect(renderGroupList([])).toBe('No VMs of this host share memory.');
});

test('a group is shown with its memory, its VMs, and the strangers that keep it here', () => {
  expect(renderGroup(GROUP).split('\n')).toEqual([
    'group bus',
    '',
    'REGION      SIZE  VMS   FILE',
    'bus     16.0 MiB  a, b  /dev/shm/r-bus',
    'log      1.0 MiB  b     /dev/shm/r-log',
    '  no further VM can have log: its file /dev/shm/r-log is gone',
    '',
    'VM  STATE    PID',
    'a   running    7',
    'b   unknown    -',
    '',
    'Strangers: they use this memory and are no VMs of the group, which cannot move before they have ended.',
    'PID  REGION  USE         COMMAND',
    ' 31  bus     holds open  ivshmem-reader /dev/shm/r-bus',
  ]);
  expect(renderGroup({ ...GROUP, strangers: [] })).not.toContain('Strangers');
});

const PARTS = {
  ...{ stop: 1, lastRound: 2, saveState: 3, transferState: 0, loadState: 13, commit: 1, resume: 0, verify: 0 },
};
const MOVED: GroupMigrationView = {
  id: 'g1',
  group: 'bus',
  to: 'there:7710',
  order: 'on-access',
  state: 'completed',
  startedAtMs: 0,
  totalMs: 1500,
  waitsFor: null,
  members: [
    { vm: 'a', migration: 'm-a', state: 'moved', downtimeMs: 12, downtimeParts: null, stoppedBy: null, attempts: 1 },
    {
      vm: 'b',
      migration: 'm-b',
      state: 'moved',
      downtimeMs: 20,
      downtimeParts: PARTS,
      stoppedBy: { page: 7, region: 'bus', ms: 3 },
      attempts: 2,
    },
  ],
  regions: [
    {
      ...{ name: 'bus', sizeBytes: 2 ** 24, pages: 4096, pagesLeft: 0, requestedPages: 40, pushedPages: 4057 },
      ...{ lentPages: 1, sentAgainPages: 0, wireBytes: 2 ** 24, connected: true },
    },
  ],
  notes: [],
  error: null,
};

test('a migration tells which VM was called by an access to which page, after how long, and what it stood for', () => {
  const lines = renderGroupMigration(MOVED).split('\n');
  expect(lines[0]).toBe('group bus to there:7710: completed in 1.5 s (g1)');
  const called = lines.filter((line) => line.includes('m-')).map((line) => line.split(/ {2,}/).slice(3));
  expect(called).toEqual([
    ['-', 'once', '-', 'm-a'],
    ['load state 13.0 ms', '2 times', 'page 7 of bus after 3.0 ms', 'm-b'],
  ]);
});

test('what a group waits for is said wherever it is shown', () => {
  const waitsFor = 'VM b to touch memory that has gone';
  const migration = { id: 'g1', direction: 'outgoing', peer: 'there', waitsFor } as const;
  const [list, group] = [renderGroupList([{ ...GROUP, migration }]), renderGroup({ ...GROUP, migration })];
  expect(list.split('\n').slice(1)).toEqual([
    'bus   bus, log  17.0 MiB  a, b  to there',
    `  bus waits for ${waitsFor}`,
  ]);
  expect(group.split('\n').slice(0, 2)).toEqual(['group bus, to there (g1)', `  bus waits for ${waitsFor}`]);
  const running = renderGroupMigration({ ...MOVED, state: 'split', totalMs: null, waitsFor });
  expect(running.split('\n')[1]).toBe(`  it waits for ${waitsFor}`);
});

test('migrations of groups are a list', () => {
  const running = { ...MOVED, id: 'g2', state: 'split', totalMs: null } as const;
  expect(renderGroupMigrationList([running, MOVED]).split('\n')).toEqual([
    'ID  GROUP  TO          STATE      TOTAL',
    'g2  bus    there:7710  split          -',
    'g1  bus    there:7710  completed  1.5 s',
  ]);
  expect(renderGroupMigrationList([])).toBe('No migrations of groups yet.');
});
