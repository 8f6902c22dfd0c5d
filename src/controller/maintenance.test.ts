import { expect, test } from 'vitest';
import { parseFleet } from './fleet-file.ts';
import { closedHosts, withMarks } from './maintenance.ts';

test('hosts that are marked, or that all VMs leave, get none, with the reason', () => {
  const marks = new Map([['b', { sinceMs: 0, reason: null }]]);
  const left = new Set(['b', 'c']);
  expect(closedHosts(marks, left)).toEqual(
    new Map([
      ['b', 'it is marked for maintenance'],
      ['c', 'it is being evacuated itself'],
    ]),
  );
  const hosts = Object.fromEntries(['a', 'b', 'c'].map((name) => [name, { api: `unix:/${name}` }]));
  const takes = withMarks(parseFleet({ hosts }, '/'), marks, left).hosts.map(({ takesVms }) => takesVms);
  expect(takes).toEqual([true, false, false]);
});
