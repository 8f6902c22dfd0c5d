import { describe, expect, test } from 'vitest';
import { begun, complete, stopVm } from '../../test/support/group-trial.ts';

const HURRY = [{ kind: 'hurry' }];

describe('VMs that wait for an access', () => {
  test('are called one after the other when the group is to follow', async () => {
    const group = await begun({ order: 'on-access' });
    group.commit('a');
    await group.settle();
    expect(group.migration.view.waitsFor).toContain('VM b, c to touch memory that has gone');
    expect(group.migration.isHeldUp).toBe(true);
    group.migration.follow();
    await group.settle();
    expect(group.handles.get('b')!.commands).toEqual(HURRY);
    expect(group.handles.get('c')!.commands).toEqual([]);
    group.commit('b');
    await group.settle();
    expect(group.handles.get('c')!.commands).toEqual(HURRY);
    group.commit('c');
    for (const vm of ['a', 'b', 'c']) group.finish(vm);
    await group.settle();
    const { state, members, waitsFor } = await complete(group);
    expect([state, waitsFor, members.map(({ stoppedBy }) => stoppedBy)]).toEqual([
      'completed',
      null,
      [null, null, null],
    ]);
  });

  test('are not waited for by each other when one of them touches memory meanwhile', async () => {
    const group = await begun({ order: 'on-access' });
    group.commit('a');
    group.migration.follow();
    await group.settle();
    group.region(stopVm('c'));
    await group.settle();
    expect(group.handles.get('c')!.commands).toEqual(HURRY);
    expect(group.migration.view.members[2]).toMatchObject({ stoppedBy: { page: 5 } });
  });

  test('are called alone by name, and the others wait on', async () => {
    const group = await begun({ order: 'on-access' });
    group.commit('a');
    group.migration.follow('c');
    await group.settle();
    expect(group.handles.get('c')!.commands).toEqual(HURRY);
    expect(group.handles.get('b')!.commands).toEqual([]);
    expect(() => group.migration.follow('c')).toThrow('VM c does not wait');
    expect(() => group.migration.follow('nobody')).toThrow('give one of b');
  });

  test('are called when the first has gone, if it has not yet, and not at all when the group is put back', async () => {
    const group = await begun({ order: 'on-access' });
    group.migration.follow();
    await group.settle();
    expect(group.handles.get('b')!.commands).toEqual([]);
    group.commit('a');
    await group.settle();
    expect(group.handles.get('b')!.commands).toEqual(HURRY);

    const other = await begun({ order: 'on-access' });
    other.migration.follow();
    await other.migration.cancel();
    expect((await other.running).state).toBe('cancelled');
    expect(other.handles.get('b')!.commands).toEqual([{ kind: 'cancel' }]);
  });
});

test('a group whose VMs follow by themselves cannot be told to', async () => {
  const group = await begun({ order: 'one-by-one' });
  expect(() => group.migration.follow()).toThrow('they follow by themselves');
});

describe('when the daemon ends', () => {
  test('a divided group has not failed: what was cancelled is not begun again, and there is no end of it', async () => {
    const group = await begun({ order: 'on-access' });
    group.commit('a');
    group.finish('a');
    await group.settle();
    group.migration.halt();
    for (const vm of ['b', 'c']) group.fail(vm);
    const { state, totalMs, error, notes } = await group.running;
    expect([state, totalMs, error, notes]).toEqual(['split', null, null, []]);
    expect(group.log.filter((line) => line === 'prepare b')).toHaveLength(1);
    await group.migration.abandon();
    expect(group.log.at(-1)).toBe('region abandoned');
  });

  test('of a divided group that comes one by one the next is not begun any more', async () => {
    const group = await begun({ order: 'one-by-one' });
    group.commit('a');
    group.migration.halt();
    await group.settle();
    expect(group.log).not.toContain('start b');
    group.finish('a');
    expect(await group.running).toMatchObject({ state: 'split', totalMs: null });
  });

  test('one that moves by itself is not held up, until its connection is cut', async () => {
    const group = await begun({ order: 'one-by-one' });
    expect(group.migration.isHeldUp).toBe(false);
    group.commit('a');
    expect(group.migration.isHeldUp).toBe(false);
    group.region({ kind: 'linkLost', reason: 'cut' });
    expect(group.migration.isHeldUp).toBe(true);
  });
});
