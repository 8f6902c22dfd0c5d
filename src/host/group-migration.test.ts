import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { ScriptedHandle } from '../../test/support/scripted-engine.ts';
import type { GroupMigrateBody } from '../api/group-migration-schema.ts';
import { GodwitError } from '../base/errors.ts';
import type { RegionReport } from '../sharing/region-report.ts';
import { openTally } from '../sharing/region-tally.ts';
import type { RegionSourceEvent } from '../sharing/region-threads.ts';
import { GroupMigration } from './group-migration.ts';

const REGION = {
  name: 'bus',
  bytes: 2 ** 20,
  path: '/dev/shm/x',
  device: '00:1a',
  inode: 7,
  isOurs: true,
  members: [],
};
const REFUSED = new GodwitError('GW_MIGRATION_REFUSED', { host: 'b', vm: 'bus', reason: 'no room' });
const REPORT = {
  pagesHere: 0,
  wireBytes: { sent: 3, received: 2 },
  stoppingAccesses: [],
  tally: openTally(),
} as unknown as RegionReport;

/** What the group's parts do, in their order; the test plays the migrations and the region. */
function trial(
  body: Partial<GroupMigrateBody> = {},
  options: {
    refused?: boolean;
    blocked?: string;
    /** An earlier daemon had begun it, and these were here when it ended. */
    resumed?: { hasBegun: boolean; here: readonly string[] };
  } = {},
) {
  const log: string[] = [];
  const handles = new Map<string, ScriptedHandle>();
  const ended = new Set<string>();
  let tell: (event: RegionSourceEvent) => void = () => undefined;
  const group = { name: 'bus', regions: [REGION], vms: ['a', 'b', 'c'] };
  const migration = new GroupMigration(
    'g1',
    group,
    { to: 'there:7710', order: 'together', ...body },
    {
      openRegion: (_region, onEvent) => {
        tell = onEvent;
        return {
          ended: new Promise(() => undefined),
          hasBegun: options.resumed?.hasBegun ?? false,
          abandon: async () => undefined,
          ready: options.refused ? Promise.reject(REFUSED) : Promise.resolve(),
          begin: () => log.push('begin'),
          vmStopped: (vm) => log.push(`stopped ${vm}`),
          vmLeft: (vm) => log.push(`left ${vm}`),
          vmContinued: (vm) => log.push(`continued ${vm}`),
          vmOverdue: () => undefined,
          report: async () => ({ ...REPORT, pagesHere: 3 }),
          cancel: async () => void log.push('region cancelled'),
        };
      },
      check: async (vm) => (vm === options.blocked ? ['its RAM is private'] : []),
      start: async (vm, waits) => {
        log.push(waits ? `prepare ${vm}` : `start ${vm}`);
        const handle = new ScriptedHandle({ id: `m-${vm}`, vm, direction: 'outgoing', peer: 'there:7710' });
        handles.set(vm, handle);
        return handle;
      },
      hasEnded: (vm) => ended.has(vm),
      retryMs: 1,
      isHere: async (vm) => options.resumed?.here.includes(vm) ?? true,
      changed: () => undefined,
    },
    options.resumed ? 5 : null,
  );
  const running = migration.run();
  const settle = async () => {
    for (let turn = 0; turn < 5; turn++) await nextTurn();
  };
  return {
    migration,
    running,
    log,
    handles,
    ended,
    settle,
    region: (event: RegionSourceEvent) => tell(event),
    stand: (vm: string) => handles.get(vm)!.emit({ kind: 'guestStands' }),
    commit(vm: string): void {
      handles.get(vm)!.emit({ kind: 'guestStands' });
      handles.get(vm)!.emit({ kind: 'phaseChanged', phase: 'committed', atMs: 0 });
    },
    finish: (vm: string) => handles.get(vm)!.finish({ kind: 'left', to: 'there', epoch: 2 }, { downtimeMs: 12 }),
    fail: (vm: string) => handles.get(vm)!.finish({ kind: 'stays' }, { outcome: 'failed' }),
  };
}

type Trial = ReturnType<typeof trial>;

const stopVm = (vm: string): RegionSourceEvent => ({ kind: 'stopVm', vm, page: 5, forGood: false, atMs: 0 });

async function begun(...parameters: Parameters<typeof trial>): Promise<Trial> {
  const started = trial(...parameters);
  await started.settle();
  return started;
}

async function complete({ region, running }: Trial) {
  region({ kind: 'completed', report: REPORT });
  return await running;
}

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
    expect(group.log.at(-1)).toBe('continued b');
    expect(group.handles.get('c')!.commands).toEqual([]);
    await vi.waitFor(() => expect(group.log.at(-1)).toBe('start b'));
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
