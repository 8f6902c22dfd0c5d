import { describe, expect, test } from 'vitest';
import type { Objective } from './fleet-state.ts';
import { compareJobs, type Job } from './job.ts';
import { findDetour } from './swap-cycle.ts';
import { syntheticVms } from './synthetic-fleet.ts';

const GIBIBYTE = 2 ** 30;
const [{ vm: VM }] = syntheticVms({
  seed: 1,
  vmCount: 1,
  images: 1,
  ramBytes: GIBIBYTE,
  imagePart: 0,
  hosts: [],
  on: ['a'],
  linkBytesPerSecond: 1,
}) as [ReturnType<typeof syntheticVms>[number]];

function jobOf(
  from: string,
  to: string,
  { ramBytes = GIBIBYTE, p90 = 1000, ...change }: Partial<Job> & { ramBytes?: number; p90?: number } = {},
): Job {
  const value = { p10: p90, p50: p90, p90 };
  const prediction = {
    bytes: value,
    totalMs: value,
    downtimeMs: value,
    ending: 'finish' as const,
    pages: { newPages: 0, heldPages: 0 },
    boundMs: 0,
    dirtyFactor: 1,
    newPageBytes: 0,
    newPageMs: 0,
  };
  return {
    vm: { ...VM, name: `${from}${to}${ramBytes}`, ramBytes },
    from,
    to,
    group: 0,
    place: 0,
    groupMs: 1000,
    prediction,
    usual: prediction,
    usableBytesPerSecond: 1,
    detourTo: null,
    minds: false,
    notBeforeMs: 0,
    failure: '',
    latestQuietMs: 0,
    deadlineAtMs: null,
    ...change,
  };
}

describe('of two jobs', () => {
  const plain = jobOf('a', 'b');
  test.each<[string, Objective, Partial<Job> & { p90?: number }, Partial<Job> & { p90?: number }]>([
    ['shortest: the one of the group with less time for each VM', 'shortest', { groupMs: 500, group: 1 }, {}],
    ['shortest: the one of a group that has begun', 'shortest', { group: 7, groupMs: 2000 }, {}],
    ['shortest: the one before the other in their group', 'shortest', {}, { place: 1 }],
    ['shortest: the one in its quiet phase', 'shortest', { minds: true, groupMs: 2000, group: 1 }, { group: 7 }],
    ['makespan: the one with the most loaded way', 'makespan', { from: 'loaded', groupMs: 500 }, {}],
    ['makespan: the longer one of equal ways', 'makespan', { groupMs: 1500, group: 1 }, {}],
    [
      'deadline: the one that has to start first',
      'deadline',
      { deadlineAtMs: 9000, p90: 5000, groupMs: 9999 },
      { deadlineAtMs: 8000, p90: 1000 },
    ],
    ['deadline: the one that has any', 'deadline', { deadlineAtMs: 1e12, groupMs: 9999 }, {}],
    ['whatever the aim: the one that makes room', 'deadline', { from: 'awaited' }, { deadlineAtMs: 1 }],
  ])('%s goes first', (_, objective, first, second) => {
    const facts = {
      objective,
      begun: new Set([7]),
      awaited: new Set(['awaited']),
      loadMs: ({ from }: { from: string }) => (from === 'loaded' ? 2 : 1),
    };
    const [a, b] = [jobOf('a', 'b', first), jobOf('a', 'b', second)];
    expect(compareJobs(a, b, facts)).toBeLessThan(0);
    expect(compareJobs(b, a, facts)).toBeGreaterThan(0);
    expect(compareJobs(plain, plain, facts)).toBe(0);
  });
});

describe('a detour', () => {
  const free = (bytes: Record<string, number>) => (host: string) => (bytes[host] ?? 0) * GIBIBYTE;

  test('is taken by the smallest VM whose leaving lets another in', () => {
    const jobs = [
      jobOf('a', 'b', { ramBytes: 4 * GIBIBYTE }),
      jobOf('a', 'b', { ramBytes: GIBIBYTE }),
      jobOf('b', 'a', { ramBytes: 2 * GIBIBYTE }),
    ];
    expect(findDetour(jobs, ['s', 't'], free({ s: 2, t: 9, a: 0.5 }))).toEqual({ job: jobs[2], via: 't' });
    // With more room on a the small one is enough.
    expect(findDetour(jobs, ['s', 't'], free({ s: 2, t: 9, a: 1 }))).toEqual({ job: jobs[1], via: 't' });
  });

  test('is found for a ring of three, and makes some of the room if none makes all', () => {
    const jobs = [jobOf('a', 'b'), jobOf('b', 'c'), jobOf('c', 'a', { ramBytes: 3 * GIBIBYTE })];
    expect(findDetour(jobs, ['s'], free({ s: 1 }))).toEqual({ job: jobs[1], via: 's' });
    const large = [jobOf('a', 'b'), jobOf('b', 'a', { ramBytes: 3 * GIBIBYTE })];
    expect(findDetour(large, ['s'], free({ s: 1 }))).toEqual({ job: large[0], via: 's' });
  });

  test.each([
    ['nobody waits for anybody', [jobOf('a', 'b'), jobOf('b', 'c')], { s: 9 }],
    ['no host has room', [jobOf('a', 'b'), jobOf('b', 'a')], { s: 0.5 }],
    ['all have been on one', [jobOf('a', 'b', { detourTo: 'b' }), jobOf('b', 'a', { detourTo: 'a' })], { s: 9 }],
  ])('is not found when %s', (_, jobs, room) => {
    expect(findDetour(jobs, ['s'], free(room))).toBeNull();
  });
});
