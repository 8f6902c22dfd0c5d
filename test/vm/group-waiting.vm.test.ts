/** A group that stays divided because its guests leave the memory alone: what is seen of it, how it is ended, and what outlives the daemons. */
import { expect, test } from 'vitest';
import type { GroupMigrateBody, GroupMigrationView } from '../../src/api/group-migration-schema.ts';
import { hasCode } from '../../src/base/errors.ts';
import { requireCapability } from '../support/capability.ts';
import { withFurther } from '../support/further-cases.ts';
import { createTinyVm, HostPair, isFree, type ReachedHost } from '../support/host-pair.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { endOfGroup, GROUP } from '../support/sharing-group.ts';
import { CALM, tinyVmBody } from '../support/tiny-vm.ts';
import { waitUntil } from '../support/wait-until.ts';

checkLeaks();

const VMS = ['quiet0', 'quiet1', 'quiet2'];
const PROMPT_MS = 10_000;
/** Three QEMUs are started meanwhile, on a machine that others use. */
const PATIENTLY = { timeoutMs: 60_000 };

async function openQuietGroup(atA: readonly string[] = []): Promise<HostPair> {
  await using opened = new AsyncDisposableStack();
  const pair = opened.use(await HostPair.open({ args: atA }, {}));
  for (const name of VMS) {
    const sharedMemory = [{ name: GROUP, sizeBytes: 2 ** 22 }];
    await createTinyVm(pair.a, { name, guest: { pageCount: 256, ...CALM }, sharedMemory });
  }
  opened.move();
  return pair;
}

/** Divided, and the others are ready at the other host. */
async function divide(pair: HostPair, body: Partial<GroupMigrateBody> = {}): Promise<string> {
  const { a, b } = pair;
  const { id } = await a.client.migrateGroup(GROUP, { to: b.host.migration, order: 'on-access', ...body });
  await waitUntil(
    'the first VM has gone',
    async () => (await a.client.showGroupMigration(id)).state === 'split',
    PATIENTLY,
  );
  await waitUntil('the others wait there', async () => (await arrivingAt(b)).length === 2, PATIENTLY);
  return id;
}

async function arrivingAt({ client }: ReachedHost): Promise<string[]> {
  const [group] = await client.listGroups();
  return (group?.vms ?? []).filter(({ state }) => state === 'arriving').map(({ name }) => name);
}

async function arrive({ b }: HostPair): Promise<void> {
  await Promise.all(VMS.map((vm) => isFree(b, vm)));
}

requireCapability('vm')('a divided group whose guests leave the memory alone', () => {
  test('says what it waits for at both hosts, calls VMs when told to, and can be moved on only when it has arrived', async () => {
    await using pair = await openQuietGroup();
    const { a, b } = pair;
    const id = await divide(pair);
    const [there] = await b.client.listGroups();
    expect(there?.migration).toMatchObject({ id, direction: 'incoming', peer: 'a' });
    expect(there?.migration?.waitsFor).toBe('VM quiet1, quiet2, still at a');
    expect((await b.client.showGroup(GROUP)).strangers).toEqual([]);
    const waitsFor = `VM quiet1, quiet2 to touch memory that has gone (to call them now: godwit group follow ${GROUP})`;
    expect((await a.client.listGroups())[0]?.migration).toMatchObject({ direction: 'outgoing', waitsFor });
    const onward = b.client.migrateGroup(GROUP, { to: a.host.migration });
    await expect(onward).rejects.toThrow(`its shared memory ${GROUP} is on its way here from a still`);

    // Nobody else gets the memory meanwhile: it would be watched by nobody.
    for (const { client, host } of [a, b]) {
      const sharedMemory = [{ name: GROUP, sizeBytes: 2 ** 22 }];
      const another = client.createVm(tinyVmBody(host.directory, { name: 'another', sharedMemory }));
      await expect(another).rejects.toThrow('it is on its way between hosts');
    }

    // One by name, the rest by the command.
    await a.client.followGroup(GROUP, { vm: 'quiet2' });
    await waitUntil(
      'it has moved',
      async () => {
        const { members } = await a.client.showGroupMigration(id);
        return members.find(({ vm }) => vm === 'quiet2')?.state === 'moved';
      },
      PATIENTLY,
    );
    expect((await a.client.showGroupMigration(id)).state).toBe('split');
    const { stdout, status } = await a.host.cli(['group', 'follow', GROUP]);
    expect([status, stdout.split('\n')[0]]).toEqual([0, expect.stringMatching(/: completed in /)]);
    const view = await endOfGroup(a, id);
    expect(view).toMatchObject({ state: 'completed', error: null, waitsFor: null, notes: [] });
    for (const { downtimeMs, downtimeParts, stoppedBy } of view.members) {
      expect([downtimeMs, downtimeParts?.loadState, stoppedBy]).toEqual([expect.any(Number), expect.any(Number), null]);
    }
    await arrive(pair);
    await expect(a.client.followGroup(id)).rejects.toSatisfy((error) => hasCode(error, 'GW_CONFLICT'));
  });

  test.each<'destination' | 'both'>(
    withFurther([], ['both', 'destination']),
  )('outlives daemons that are told to end (%s), which do so at once, and its report knows what was before', async (ending) => {
    await using pair = await openQuietGroup();
    const { a, b } = pair;
    const id = await divide(pair);
    const before = await waitUntil('the first is done', async () => {
      const view = await a.client.showGroupMigration(id);
      return view.members[0]?.state === 'moved' ? view : undefined;
    });
    const ends = ending === 'destination' ? [b] : [a, b];
    for (const { host } of ends) {
      const sinceMs = Date.now();
      expect(await host.stop()).toBe(0);
      expect(Date.now() - sinceMs).toBeLessThan(PROMPT_MS);
      expect(host.log).not.toContain('"state":"failed"');
    }
    if (ending !== 'destination') expect(a.host.log).toContain('a group stays divided between two hosts');
    for (const { host } of ends) await host.start();
    // Of a destination that has come back the source knows nothing new: its VMs wait as before.
    if (ending === 'destination') await followAgain(a, id);
    const view = await endOfGroup(a, id);
    expect(view).toMatchObject({ state: 'completed', error: null, to: before.to, startedAtMs: before.startedAtMs });
    expect(view.members[0]).toEqual(before.members[0]);
    for (const { attempts, downtimeMs } of view.members.slice(1)) {
      expect(downtimeMs).toEqual(expect.any(Number));
      expect(attempts).toBeGreaterThan(1);
    }
    await arrive(pair);
  });
});

/** Their migrations have ended with the daemon there, and are begun again in a second. */
async function followAgain({ client }: ReachedHost, id: string): Promise<GroupMigrationView> {
  return await waitUntil('they are begun again', async () => {
    const { members } = await client.showGroupMigration(id);
    return members.every(({ attempts, state }) => attempts > 1 || state === 'moved')
      ? client.followGroup(id)
      : undefined;
  });
}
