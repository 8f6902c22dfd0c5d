/** Daemons that are killed while a group of VMs is divided between two hosts: it comes together, and no write is lost. */
import { expect, test } from 'vitest';
import { requireCapability } from '../support/capability.ts';
import { withFurther } from '../support/further-cases.ts';
import { restart } from '../support/host-pair.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { SharingGroup } from '../support/sharing-group.ts';
import { waitUntil } from '../support/wait-until.ts';

checkLeaks();

requireCapability('vm')('a group of VMs that is divided', () => {
  test.each(
    withFurther<'source' | 'destination'>(['source'], ['destination']),
  )('comes together when the daemon of the %s is killed', async (side) => {
    await using group = await SharingGroup.start({ count: 3 });
    const { a, b } = group.pair;
    await group.work(a, 1000);
    const { id } = await group.begin(a, b.host.migration, { order: 'one-by-one' });
    await waitUntil('the first VM has gone', async () => (await a.client.showGroupMigration(id)).state === 'split');
    await restart(side === 'source' ? a : b);
    const view = await group.ended(a, id, b);
    expect(view).toMatchObject({ state: 'completed', error: null, regions: [{ pagesLeft: 0 }] });
    expect(view.members.map(({ state }) => state)).toEqual(['moved', 'moved', 'moved']);
    await group.work(b, 1000);
    expect((await group.check(b)).problems).toEqual([]);
    // Nothing is left that would be in the way of the next one.
    expect(await group.move(b, a)).toMatchObject({ state: 'completed', error: null });
    await group.work(a, 1000);
    expect((await group.check(a)).problems).toEqual([]);
    await restart(a);
    expect(await a.client.showGroupMigration(id.slice(0, 8))).toEqual(view);
    expect((await a.client.listGroupMigrations()).map((each) => each.id)).toEqual([id]);
  });
});
