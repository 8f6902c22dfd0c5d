import { setTimeout } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { begun, complete, REFUSED, REPORT, stopVm, trial } from '../../test/support/group-trial.ts';
import { GodwitError } from '../base/errors.ts';

test('all move together; the region begins with the first that has gone, and all is over when it is complete', async () => {
  const group = await begun();
  expect(group.log).toEqual(['start a', 'start b', 'start c']);
  expect(group.migration.view.state).toBe('moving');
  group.commit('b');
  expect(group.log.slice(3)).toEqual(['stopped b', 'begin', 'left b']);
  expect(group.migration.view.state).toBe('split');
  for (const vm of ['a', 'c']) group.commit(vm);
  for (const vm of ['a', 'b', 'c']) group.finish(vm);
  await group.settle();
  expect(group.migration.view.state).toBe('completing');
  const view = await complete(group);
  expect(view).toMatchObject({ state: 'completed', error: null });
  expect(view.members.map(({ vm, state, downtimeMs }) => [vm, state, downtimeMs])).toEqual([
    ['a', 'moved', 12],
    ['b', 'moved', 12],
    ['c', 'moved', 12],
  ]);
  expect(view.regions).toMatchObject([{ name: 'bus', pages: 256, pagesLeft: 0, wireBytes: 5 }]);
  expect(group.log.filter((line) => line === 'begin')).toHaveLength(1);
});

test('one by one: each begins when the one before is the other host’s, and `first` is first', async () => {
  const group = await begun({ order: 'one-by-one', first: 'b' });
  expect(group.log).toEqual(['start b']);
  group.commit('b');
  await group.settle();
  expect(group.log).toContain('start a');
  expect(group.log).not.toContain('start c');
  group.commit('a');
  await group.settle();
  expect(group.log).toContain('start c');
});

test('several can be first, in their order; the others follow by name', async () => {
  const group = await begun({ order: 'on-access', first: ['c', 'a'] });
  expect(group.log).toEqual(['start c', 'prepare a', 'prepare b']);
});

describe('a VM that touches memory that has gone', () => {
  test('is called; until then it is ready and stays, with `on-access`', async () => {
    const group = await begun({ order: 'on-access' });
    expect(group.log).toEqual(['start a', 'prepare b', 'prepare c']);
    group.commit('a');
    await group.settle();
    expect(group.migration.view.members.map(({ state }) => state)).toEqual(['moving', 'waiting', 'waiting']);
    group.region(stopVm('c'));
    await group.settle();
    expect(group.handles.get('c')!.commands).toEqual([{ kind: 'hurry' }]);
    const { members } = group.migration.view;
    expect(members[2]).toMatchObject({ vm: 'c', state: 'moving', stoppedBy: { page: 5, region: 'bus' } });
    expect(members[1]).toMatchObject({ vm: 'b', state: 'waiting', stoppedBy: null });
    group.region(stopVm('b'));
    await group.settle();
    for (const vm of ['b', 'c']) group.commit(vm);
    for (const vm of ['a', 'b', 'c']) group.finish(vm);
    await group.settle();
    expect((await complete(group)).state).toBe('completed');
  });

  test('is told with the time of the access, however late the daemon hears of it', async () => {
    const group = await begun();
    const beforeMs = Date.now();
    group.commit('a');
    const access = { ...stopVm('b'), atMs: Date.now() + 70 };
    await setTimeout(200);
    group.region(access);
    const { ms } = group.migration.view.members[1]!.stoppedBy!;
    expect(ms).toBeGreaterThanOrEqual(70);
    expect(ms).toBeLessThanOrEqual(access.atMs - beforeMs);
  });

  test('is stopped at once where it is on its way, as soon as its migration hears', async () => {
    const group = await begun();
    group.commit('a');
    group.handles.get('b')!.refusal = new GodwitError('GW_CONFLICT', {
      kind: 'Migration',
      name: 'm',
      reason: 'not begun',
    });
    group.region(stopVm('b'));
    await group.settle();
    group.handles.get('b')!.refusal = undefined;
    const { commands } = group.handles.get('b')!;
    await vi.waitFor(() => expect(commands.length).toBe(2));
    expect(commands.every(({ kind }) => kind === 'hurry')).toBe(true);
    expect(group.handles.get('c')!.commands).toEqual([]);
  });
});

describe('a VM whose step does not come', () => {
  test('is told to the regions: the stop after the order, and the leaving after the stop', async () => {
    const group = await begun({}, { overdueMs: 5 });
    group.commit('a');
    group.region(stopVm('b'));
    await vi.waitFor(() => expect(group.log.at(-1)).toBe('overdue b'));
    group.stand('b');
    expect(group.log.at(-1)).toBe('stopped b');
    await vi.waitFor(() => expect(group.log.at(-1)).toBe('overdue b'));
    group.commit('b');
    await setTimeout(20);
    expect(group.log.filter((line) => line.startsWith('overdue'))).toEqual(['overdue b', 'overdue b']);
  });

  test('is not, when it leaves or goes on in time', async () => {
    const group = await begun({}, { overdueMs: 20 });
    group.stand('b');
    group.fail('b');
    group.commit('a');
    await setTimeout(60);
    expect(group.log).not.toContain('overdue b');
    expect(group.log).not.toContain('overdue a');
  });
});

describe('before the first VM has gone', () => {
  test('what the other host refuses a region with ends it, and nothing was begun', async () => {
    const group = trial({}, { refused: true });
    expect(await group.running).toMatchObject({ state: 'failed', error: { code: 'GW_MIGRATION_REFUSED' } });
    expect(group.log).toEqual(['region cancelled']);
  });

  test('a VM that cannot move is told by name, and none was begun', async () => {
    const group = trial({}, { blocked: 'c' });
    const { state, error } = await group.running;
    expect([state, error?.code, error?.details]).toMatchObject(['failed', 'GW_MIGRATION_BLOCKED', { vm: 'c' }]);
    expect(group.log).toEqual(['region cancelled']);
  });

  test('one that fails calls the others back, and then the region', async () => {
    const group = await begun();
    group.stand('b');
    group.fail('b');
    const view = await group.running;
    expect(view.state).toBe('failed');
    expect(group.log.slice(3)).toEqual(['stopped b', 'continued b', 'region cancelled']);
    for (const vm of ['a', 'c']) expect(group.handles.get(vm)!.commands).toEqual([{ kind: 'cancel' }]);
  });

  test('a cancel calls all back', async () => {
    const group = await begun();
    await group.migration.cancel();
    expect(await group.running).toMatchObject({ state: 'cancelled', error: { code: 'GW_MIGRATION_CANCELLED' } });
    expect(group.log.at(-1)).toBe('region cancelled');
  });

  test('a cancel that comes too late for the first of them: the others, which had not begun, follow', async () => {
    const group = await begun({ order: 'one-by-one' });
    const cancelled = group.migration.cancel();
    group.commit('a');
    await cancelled;
    await group.settle();
    expect(group.log).toContain('start b');
    for (const vm of ['a', 'b', 'c']) {
      if (vm !== 'a') group.commit(vm);
      group.finish(vm);
      await group.settle();
    }
    expect(await complete(group)).toMatchObject({ state: 'completed', error: null });
  });

  test('a cancel also ends VMs that wait for their turn', async () => {
    const group = await begun({ order: 'on-access' });
    await group.migration.cancel();
    expect((await group.running).state).toBe('cancelled');
  });

  test('a connection of a region that is lost takes all back', async () => {
    const group = await begun();
    group.region({ kind: 'linkLost', reason: 'cut' });
    const view = await group.running;
    expect(view).toMatchObject({ state: 'failed', error: { code: 'GW_WIRE_CLOSED' } });
    expect(group.log.at(-1)).toBe('region cancelled');
  });

  test('one that is lost in the moment in which a VM leaves all the same is no failure: the others follow', async () => {
    const group = await begun();
    group.handles.get('a')!.refusal = new GodwitError('GW_MIGRATION_TOO_LATE', { vm: 'a' });
    group.region({ kind: 'linkLost', reason: 'cut' });
    group.commit('a');
    await group.settle();
    // The others may have begun again by now.
    expect(group.log.slice(3, 6)).toEqual(['stopped a', 'begin', 'left a']);
    group.finish('a');
    await vi.waitFor(() => expect(group.migration.view.members.map(({ attempts }) => attempts)).toEqual([1, 2, 2]));
    for (const vm of ['b', 'c']) {
      group.commit(vm);
      group.finish(vm);
    }
    await group.settle();
    expect(await complete(group)).toMatchObject({ state: 'completed', error: null });
    expect(group.migration.view.notes.join()).toContain('was cut: cut');
  });

  test('a region that fails takes all back', async () => {
    const group = await begun();
    group.region({ kind: 'failed', error: REFUSED.toBody() });
    expect(await group.running).toMatchObject({ state: 'failed', error: { code: 'GW_MIGRATION_REFUSED' } });
  });
});

describe('after it', () => {
  test('a VM whose migration fails is tried again', async () => {
    const group = await begun();
    group.commit('a');
    group.stand('b');
    group.fail('b');
    await group.settle();
    expect(group.handles.get('c')!.commands).toEqual([]);
    await vi.waitFor(() => expect(group.log.slice(-2)).toEqual(['continued b', 'start b']));
    group.commit('b');
    group.commit('c');
    for (const vm of ['a', 'b', 'c']) group.finish(vm);
    await group.settle();
    const { members, notes } = await complete(group);
    expect(members.map(({ attempts }) => attempts)).toEqual([1, 2, 1]);
    expect(notes.join()).toContain('VM b has to follow its group');
  });

  test('one that has ended by itself holds up nothing', async () => {
    const group = await begun();
    group.commit('a');
    group.commit('c');
    group.ended.add('b');
    group.fail('b');
    for (const vm of ['a', 'c']) group.finish(vm);
    await group.settle();
    expect(group.log.slice(-2)).toEqual(['stopped b', 'left b']);
    expect((await complete(group)).state).toBe('completed');
  });

  test('those that were called back in the moment when one left all the same follow it', async () => {
    const group = await begun();
    // The cancel of `a` comes too late; `c` is called back.
    group.handles.get('a')!.refusal = new GodwitError('GW_MIGRATION_TOO_LATE', { vm: 'a' });
    group.stand('b');
    group.fail('b');
    await group.settle();
    group.commit('a');
    group.finish('a');
    await vi.waitFor(() => expect(group.migration.view.members.map(({ attempts }) => attempts)).toEqual([1, 2, 2]));
    for (const vm of ['b', 'c']) {
      group.commit(vm);
      group.finish(vm);
    }
    await group.settle();
    expect((await complete(group)).state).toBe('completed');
  });

  test('there is no cancelling', async () => {
    const group = await begun();
    group.commit('a');
    await expect(group.migration.cancel()).rejects.toThrow('VM a is at there:7710 already');
    expect(group.handles.get('b')!.commands).toEqual([]);
  });

  test('what is left is asked of the region', async () => {
    const group = await begun();
    group.commit('a');
    expect((await group.migration.refresh()).regions[0]).toMatchObject({ pagesLeft: 3, connected: true });
    group.region({ kind: 'linkLost', reason: 'cut' });
    expect(group.migration.view.regions[0]).toMatchObject({ connected: false });
  });
});

test('what is asked how far it is and answers after the end does not take the place of the last report', async () => {
  const group = await begun();
  for (const vm of ['a', 'b', 'c']) group.commit(vm);
  for (const vm of ['a', 'b', 'c']) group.finish(vm);
  await group.settle();
  const asked = group.migration.refresh();
  group.region({ kind: 'completed', report: REPORT });
  await asked;
  expect((await group.running).regions).toMatchObject([{ pagesLeft: 0 }]);
  expect(group.migration.view.regions).toMatchObject([{ pagesLeft: 0 }]);
});
