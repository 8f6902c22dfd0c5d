/** What a group may consist of, what makes it stay as a whole, and what is told of the accesses that call its VMs. */
import { truncateSync } from 'node:fs';
import { expect, test } from 'vitest';
import { usedPages } from '../../guest/sharing/region-layout.ts';
import type { GroupMigrationView } from '../../src/api/group-migration-schema.ts';
import { identifyProcess } from '../../src/linux/process.ts';
import { killQemu, type StartedQemu, startQemu } from '../../src/qemu/process.ts';
import { requireCapability, TEST_QEMU } from '../support/capability.ts';
import { furtherTest } from '../support/further-cases.ts';
import { checkLeaks, markChildren } from '../support/leak-check.ts';
import { GROUP, SharingGroup } from '../support/sharing-group.ts';
import { regionArguments } from '../support/sharing-vms.ts';
import { TempDirectory } from '../support/temp-directory.ts';

checkLeaks();

const MIB = 2 ** 20;
/** 48 MiB for all of a host's memory files. */
const CRAMPED = ['unshare', '-m', 'sh', '-c', 'mount -t tmpfs -o size=48m tmpfs /dev/shm && exec "$0" "$@"'];

/** A QEMU with RAM that nobody else can see, and a region that others have. */
async function startPrivate(directory: TempDirectory, region: string, bytes: number): Promise<StartedQemu> {
  markChildren();
  const qmpPath = directory.join('qmp.sock');
  const sockets = [qmpPath, directory.join('adopt.sock')].flatMap((path) => [
    '-qmp',
    `unix:${path},server=on,wait=off`,
  ]);
  const machine = ['-accel', 'tcg', '-machine', 'q35', '-m', '64M', '-display', 'none', '-serial', 'null'];
  const args = [...machine, ...sockets, ...regionArguments('theirs', region, bytes)];
  return await startQemu({ binary: TEST_QEMU, args, logPath: directory.join('qemu.log'), qmpPath, ramPaths: [] });
}

function expectStayed(view: GroupMigrationView): void {
  expect(view.members.map(({ attempts, state }) => [attempts, state])).toEqual(view.members.map(() => [0, 'waiting']));
}

requireCapability('vm')('the members of a group', () => {
  furtherTest('may be adopted QEMUs: they move with the others, and back', async () => {
    await using group = await SharingGroup.start({ count: 3, adopted: 2 });
    const { a, b } = group.pair;
    const before = await Promise.all(group.vms.map((vm) => a.client.showVm(vm)));
    expect(before.map(({ adopted }) => adopted)).toEqual([false, true, true]);
    await group.work(a, 1000);
    expect(await group.move(a, b, { first: 'member2' })).toMatchObject({ state: 'completed', error: null, notes: [] });
    await group.work(b, 1000);
    expect((await group.check(b)).problems).toEqual([]);
    expect(before.map(({ pid }) => identifyProcess(pid!))).toEqual([undefined, undefined, undefined]);
    expect(await b.client.listVms()).toMatchObject(group.vms.map((name) => ({ name, adopted: false })));
    expect(await group.move(b, a, { mode: 'post-copy', order: 'one-by-one' })).toMatchObject({ state: 'completed' });
    await group.work(a, 1000);
    expect((await group.check(a)).problems).toEqual([]);
  });

  furtherTest('one whose own RAM is private is named, and nothing moves', async () => {
    await using group = await SharingGroup.start({ count: 2 });
    const { a, b } = group.pair;
    const { path, sizeBytes } = (await a.client.showVm('member0')).sharedMemory[0]!;
    using directory = new TempDirectory();
    const qemu = await startPrivate(directory, path, sizeBytes);
    try {
      const qmp = directory.join('adopt.sock');
      await a.client.adoptVm({ name: 'private', pid: qemu.identity.pid, qmp });
      const view = await group.move(a, b);
      expect(view).toMatchObject({
        state: 'failed',
        error: { code: 'GW_MIGRATION_BLOCKED', details: { vm: 'private' } },
      });
      expect(view.error!.message).toMatch(/VM private cannot be migrated: .*private.*memory-backend-file/);
      expectStayed(view);
      await group.work(a, 1000);
      expect((await group.check(a)).problems).toEqual([]);
      expect(await b.client.listVms()).toEqual([]);
      await a.client.actOnVm('private', 'kill');
      await a.client.removeVm('private');
    } finally {
      qemu.qmp.close();
      await killQemu(qemu.identity);
    }
    expect(await group.move(a, b)).toMatchObject({ state: 'completed' });
  });

  furtherTest('do not move with memory whose file has been cut, and do when it has its size again', async () => {
    await using group = await SharingGroup.start({ count: 2 });
    const { a, b } = group.pair;
    const { path, sizeBytes } = (await a.client.showVm('member0')).sharedMemory[0]!;
    // Nobody works on that half.
    expect(usedPages(group.layout) * 4096).toBeLessThan(sizeBytes / 2);
    truncateSync(path, sizeBytes / 2);
    const refusal = `shared memory ${GROUP}: its file ${path} has been cut to ${sizeBytes / 2} bytes`;
    await expect(group.begin(a, b.host.migration)).rejects.toThrow(refusal);
    truncateSync(path, sizeBytes);
    await group.work(a, 1000);
    expect(await group.move(a, b)).toMatchObject({ state: 'completed' });
    await group.work(b, 1000);
    expect((await group.check(b)).problems).toEqual([]);
  });

  test('stay where the other host has no room for what they share', async () => {
    await using group = await SharingGroup.start({ count: 2, regionMiB: 64, atB: { launcher: CRAMPED } });
    const { a, b } = group.pair;
    const view = await group.move(a, b);
    expect(view).toMatchObject({ state: 'failed', error: { code: 'GW_SYS_NO_ROOM' } });
    expect(view.error!.message).toMatch(/Not enough room in \/dev\/shm on host b/);
    expectStayed(view);
    await group.work(a, 1000);
    expect((await group.check(a)).problems).toEqual([]);
    expect(await b.client.listGroups()).toEqual([]);
    expect((await a.client.listVms()).map(({ state, migration }) => [state, migration])).toEqual([
      ['running', null],
      ['running', null],
    ]);
  });

  test('that are called by an access are told with the page, the memory and the time, also to people', async () => {
    await using group = await SharingGroup.start({ count: 2, regionMiB: 8 });
    const { a, b } = group.pair;
    const modes = ['--mode', 'pre-copy', '--mode-of', 'member0=post-copy'];
    const migrate = ['group', 'migrate', GROUP, '--to', b.host.migration, '--order', 'on-access', ...modes];
    const { status, stdout } = await a.host.cli(migrate);
    expect(status).toBe(0);
    const [view] = await a.client.listGroupMigrations();
    expect(view).toMatchObject({
      order: 'on-access',
      state: 'completed',
      regions: [{ name: GROUP, pages: 8 * (MIB / 4096) }],
    });
    const [first, called] = view!.members;
    expect(first).toMatchObject({ vm: 'member0', stoppedBy: null, state: 'moved' });
    const migrations = await Promise.all(view!.members.map(({ migration }) => a.client.showMigration(migration!)));
    expect(migrations.map(({ report }) => report?.mode)).toEqual(['post-copy', 'pre-copy']);
    expect(called).toMatchObject({ vm: 'member1', stoppedBy: { region: GROUP }, state: 'moved' });
    const { page, ms } = called!.stoppedBy!;
    expect(page).toBeLessThan(usedPages(group.layout));
    expect(ms).toBeLessThan(view!.totalMs!);
    expect(stdout).toMatch(/^member0 +moved +\S+ m?s +\S.* m?s +once +- /m);
    expect(stdout).toMatch(
      new RegExp(`^member1 +moved +\\S+ m?s +\\S.* m?s +once +page ${page} of ${GROUP} after \\S+ m?s `, 'm'),
    );
    await group.work(b, 1000);
    expect((await group.check(b)).problems).toEqual([]);
  });
});
