import { describe, expect, test } from 'vitest';
import { begun, complete, stopVm } from '../../test/support/group-trial.ts';

describe('after a restart', () => {
  test('those that had gone are told to the region, and those that had not follow', async () => {
    const group = await begun({ order: 'on-access' }, { resumed: { hasBegun: true, here: ['b', 'c'] } });
    expect(group.log).toEqual(['stopped a', 'left a', 'start b', 'start c']);
    expect(group.migration.view).toMatchObject({ state: 'split', startedAtMs: 5 });
    for (const vm of ['b', 'c']) {
      group.commit(vm);
      group.finish(vm);
    }
    await group.settle();
    expect(await complete(group)).toMatchObject({ state: 'completed' });
  });

  test('it says that it is not connected until it is, and is not waited for by a daemon that ends', async () => {
    const group = await begun({}, { resumed: { hasBegun: true, here: ['b', 'c'] } });
    expect(group.migration.view.waitsFor).toContain('the connection of shared memory bus');
    expect(group.migration.isHeldUp).toBe(true);
    group.region({ kind: 'linkBack' });
    expect(group.migration.view.waitsFor).toBe('VM b, c to arrive at there:7710');
    expect(group.migration.isHeldUp).toBe(false);
  });

  test('one that had gone, and whose old QEMU calls it before that is known, has moved', async () => {
    const known = Promise.withResolvers<void>();
    const group = await begun({}, { resumed: { hasBegun: true, here: ['b', 'c'], known: known.promise } });
    group.region(stopVm('a'));
    await group.settle();
    known.resolve();
    await group.settle();
    expect(group.log).toEqual(['stopped a', 'left a', 'start b', 'start c']);
    for (const vm of ['b', 'c']) {
      group.commit(vm);
      group.finish(vm);
    }
    await group.settle();
    const { state, members, notes } = await complete(group);
    expect([state, members.map((member) => member.state), notes]).toEqual(['completed', Array(3).fill('moved'), []]);
  });

  test('what an earlier daemon has written down of them is told, and what their migrations measured is looked up', async () => {
    const begun2 = { migration: 'm2', state: 'moving', downtimeMs: null, downtimeParts: null, attempts: 2 } as const;
    const called = { page: 3, region: 'bus', ms: 7 };
    const members = [
      { vm: 'a', ...begun2, migration: 'm1', stoppedBy: null },
      { vm: 'b', ...begun2, stoppedBy: called },
    ];
    const reports = { m1: { downtimeMs: 31, downtimeParts: null } };
    const group = await begun({}, { resumed: { hasBegun: true, here: ['b', 'c'], members, reports } });
    expect(group.migration.view.members).toMatchObject([
      { vm: 'a', migration: 'm1', state: 'moved', downtimeMs: 31, attempts: 2 },
      { vm: 'b', migration: 'm-b', state: 'moving', stoppedBy: called, attempts: 3 },
      { vm: 'c', migration: 'm-c', state: 'moving', attempts: 1 },
    ]);
  });

  test('one whose migration is reported only later is looked up at the end', async () => {
    const a = { vm: 'a', migration: 'm1', state: 'moved', downtimeMs: null, downtimeParts: null } as const;
    const reports: Record<string, { downtimeMs: number; downtimeParts: null }> = {};
    const resumed = { hasBegun: true, here: ['b', 'c'], members: [{ ...a, stoppedBy: null, attempts: 1 }], reports };
    const group = await begun({}, { resumed });
    expect(group.migration.view.members[0]).toMatchObject({ state: 'moved', downtimeMs: null });
    reports['m1'] = { downtimeMs: 5, downtimeParts: null };
    for (const vm of ['b', 'c']) {
      group.commit(vm);
      group.finish(vm);
    }
    await group.settle();
    expect((await complete(group)).members[0]).toMatchObject({ migration: 'm1', downtimeMs: 5, attempts: 1 });
  });

  test('one of which nothing had gone ends, and all is as it was', async () => {
    const group = await begun({}, { resumed: { hasBegun: false, here: ['a', 'b', 'c'] } });
    expect(await group.running).toMatchObject({ state: 'failed', error: { code: 'GW_CONFLICT' } });
    expect(group.log).toEqual(['region cancelled']);
    expect(group.migration.isSplit).toBe(false);
  });

  test('one of which a VM had gone begins now, though nothing had moved', async () => {
    const group = await begun({}, { resumed: { hasBegun: false, here: ['b', 'c'] } });
    expect(group.log.slice(0, 3)).toEqual(['begin', 'stopped a', 'left a']);
  });

  test('a divided one whose region cannot go on is not given up', async () => {
    const group = await begun({}, { refused: true, resumed: { hasBegun: true, here: ['b'] } });
    expect(await group.running).toMatchObject({ state: 'failed' });
    expect([group.migration.isSplit, group.log]).toEqual([true, []]);
    await expect(group.migration.cancel()).rejects.toThrow('have to follow');
  });
});
