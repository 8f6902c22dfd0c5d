/** VMs that share memory move as a group, under load; the memory is judged by what the guests have noted of their own work. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { hasCode } from '../../src/base/errors.ts';
import type { MigrationMode } from '../../src/migration/request.ts';
import { requireCapability } from '../support/capability.ts';
import { furtherTest, withFurther } from '../support/further-cases.ts';
import { restart } from '../support/host-pair.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { GROUP, SharingGroup } from '../support/sharing-group.ts';
import { tinyVmBody } from '../support/tiny-vm.ts';
import { waitUntil } from '../support/wait-until.ts';

checkLeaks();

/** Whether a page of the region that is missing stops who touches it (proc(5), VmFlags). */
function isWatched(pid: number, path: string): boolean {
  const mappings = readFileSync(`/proc/${pid}/smaps`, 'latin1').split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  const own = mappings.filter((mapping) => mapping.includes(path));
  expect(own.length).toBeGreaterThan(0);
  return own.some((mapping) => /^VmFlags:.* um /m.test(mapping));
}

const MODES = withFurther<MigrationMode>(['auto', 'post-copy'], ['pre-copy']);

requireCapability('vm')('a group of VMs that share memory', () => {
  test('goes there and back by each mode with every write in its place', async () => {
    await using group = await SharingGroup.start({ count: 2 });
    const { a, b } = group.pair;
    for (const [index, mode] of MODES.entries()) {
      const [from, to] = index % 2 === 0 ? [a, b] : [b, a];
      await group.work(from, 1000);
      const view = await group.move(from, to, { mode });
      expect(view).toMatchObject({ state: 'completed', error: null, notes: [] });
      expect(view.members.map(({ state }) => state)).toEqual(group.vms.map(() => 'moved'));
      expect(view.regions).toMatchObject([{ name: GROUP, pages: 1024, pagesLeft: 0, sentAgainPages: 0 }]);
      await group.work(to, 1000);
      const { problems, increments } = await group.check(to);
      expect(problems).toEqual([]);
      expect(increments).toBeGreaterThan(0);
      expect(await from.client.listGroups()).toEqual([]);
    }
  });

  test('of three: with `on-access` the first moves, and the others are called by their own accesses', async () => {
    await using group = await SharingGroup.start({ count: 3 });
    const { a, b } = group.pair;
    const view = await group.move(a, b, { order: 'on-access', first: 'member1' });
    expect(view).toMatchObject({ state: 'completed', order: 'on-access' });
    expect(view.members.map(({ vm, stoppedBy }) => [vm, stoppedBy?.region ?? null])).toEqual([
      ['member1', null],
      ['member0', GROUP],
      ['member2', GROUP],
    ]);
    await group.work(b, 1000);
    expect((await group.check(b)).problems).toEqual([]);
  });

  furtherTest('of three goes one after the other, and back', async () => {
    await using group = await SharingGroup.start({ count: 3 });
    const { a, b } = group.pair;
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      expect(await group.move(from, to, { order: 'one-by-one' })).toMatchObject({ state: 'completed' });
      await group.work(to, 1000);
      expect((await group.check(to)).problems).toEqual([]);
    }
  });

  test('is refused before anything moves where it cannot be moved as a whole', async () => {
    await using group = await SharingGroup.start({ count: 2 });
    const { a, b } = group.pair;
    const blocked = (refusal: Promise<unknown>) =>
      expect(refusal).rejects.toSatisfy((error) => hasCode(error, 'GW_MIGRATION_BLOCKED'));

    // One of them alone.
    const alone = a.client.migrate('member0', { to: b.host.migration });
    await blocked(alone);
    await expect(alone).rejects.toThrow('member of group bus');

    // Somebody else has the memory.
    const { path } = (await a.client.showVm('member0')).sharedMemory[0]!;
    const stranger = spawn('tail', ['-f', path], { stdio: ['ignore', 'pipe', 'ignore'] });
    try {
      await waitUntil('the stranger has opened it', async () => (await a.client.showGroup(GROUP)).strangers[0]);
      const refused = group.begin(a, b.host.migration);
      await blocked(refused);
      await expect(refused).rejects.toThrow(`process ${stranger.pid} (tail -f`);
    } finally {
      const ended = new Promise((resolve) => stranger.once('exit', resolve));
      stranger.kill('SIGKILL');
      await ended;
    }

    // A VM that is none of them.
    const unknown = group.begin(a, b.host.migration, { first: 'nobody' });
    await expect(unknown).rejects.toThrow('give one of its VMs: member0, member1');

    // The other host has memory of that name.
    const other = tinyVmBody(b.host.directory, { name: 'other', sharedMemory: [{ name: GROUP, sizeBytes: 2 ** 20 }] });
    await b.client.createVm(other);
    const view = await group.move(a, b);
    expect(view).toMatchObject({ state: 'failed', error: { code: 'GW_REGION_REFUSED' } });
    expect(view.error?.message).toContain('shared memory of that name already (VM other)');
    expect(view.members.map(({ attempts }) => attempts)).toEqual([0, 0]);
    await b.client.actOnVm('other', 'kill');
    await b.client.removeVm('other');

    // A name that a VM there has.
    await b.client.createVm(tinyVmBody(b.host.directory, { name: 'member1' }));
    const taken = await group.move(a, b);
    expect(taken).toMatchObject({
      state: 'failed',
      error: { code: 'GW_MIGRATION_BLOCKED', details: { vm: 'member1' } },
    });
    await b.client.actOnVm('member1', 'kill');
    await b.client.removeVm('member1');

    // All is as it was, and nothing is left there: it moves.
    await group.work(a, 1000);
    expect(await group.move(a, b)).toMatchObject({ state: 'completed' });
    await group.work(b, 1000);
    expect((await group.check(b)).problems).toEqual([]);
  });

  test('a cancel before the first has gone puts all back; so does a daemon that dies', async () => {
    await using group = await SharingGroup.start({ count: 2 });
    const { a, b } = group.pair;
    // So slow that nothing gets there.
    const slow = { mode: 'pre-copy', bandwidthBytesPerSecond: 10_000 } as const;
    const { id } = await group.begin(a, b.host.migration, slow);
    await waitUntil('it moves', async () => (await a.client.showGroupMigration(id)).state === 'moving');
    await expect(group.begin(a, b.host.migration)).rejects.toThrow('is under way');
    await a.client.cancelGroupMigration(id);
    expect(await group.ended(a, id)).toMatchObject({ state: 'cancelled' });
    await group.work(a, 1000);

    const watched = async () =>
      (await a.client.listVms()).map(({ pid, sharedMemory }) => isWatched(pid!, sharedMemory[0]!.path));
    expect(await watched()).toEqual([false, false]);

    const again = await group.begin(a, b.host.migration, slow);
    await waitUntil('it moves', async () => (await a.client.showGroupMigration(again.id)).state === 'moving');
    expect(await watched()).toEqual([true, true]);
    await restart(a);
    await waitUntil('nobody is watched', async () => !(await watched()).includes(true));
    await waitUntil('its VMs are free', async () =>
      (await a.client.listVms()).every(({ state, migration }) => state === 'running' && migration === null),
    );
    await group.work(a, 1000);
    expect((await group.check(a)).problems).toEqual([]);
    await waitUntil('nothing is left at the other host', async () => (await b.client.listVms()).length === 0);
    expect(await group.move(a, b)).toMatchObject({ state: 'completed' });
    await group.work(b, 1000);
    expect((await group.check(b)).problems).toEqual([]);
  });
});
