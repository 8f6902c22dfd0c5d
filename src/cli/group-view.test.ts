import { expect, test } from 'vitest';
import type { GroupDetailView } from '../api/group-schema.ts';
import { renderGroup, renderGroupList } from './group-view.ts';

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
  strangers: [{ pid: 31, command: 'ivshmem-reader /dev/shm/r-bus', region: 'bus', use: 'holds open' }],
};

test('a list has a line for each group', () => {
  expect(renderGroupList([GROUP])).toBe('NAME  REGIONS     SHARED  VMS\nbus   bus, log  17.0 MiB  a, b');
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
