/** A QEMU that lives and cannot be talked to for a while: the VM that it was stopped for runs on at the source. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { FIRST_USABLE_PAGE } from '../../guest/tiny/layout.ts';
import { requireCapability } from '../support/capability.ts';
import { beginMigration, createTinyVm, HostPair, openTinyGuest, type WatchedMigration } from '../support/host-pair.ts';
import { runsIntact } from '../support/intact-vm.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { readSettings } from '../support/qemu-settings.ts';
import { QmpProxy } from '../support/qmp-proxy.ts';
import { nothingRemains } from '../support/traces.ts';

checkLeaks();

const VM = 'unheard';
const MIB = 2 ** 20;
const FILL = { firstPage: FIRST_USABLE_PAGE, pageCount: 4096 };
const CALM_DELAY = 200_000;
const REFUSED_TIMES = 2;

let pair: HostPair;

/** All pages were written again, and the link is slow: the last round takes seconds. */
async function beginLongStop(): Promise<WatchedMigration> {
  pair.link.shape({ bytesPerSecond: 8 * MIB });
  using guest = await openTinyGuest(pair.a, VM);
  const request = { mode: 'pre-copy', maxDowntimeMs: 60_000, to: pair.link.address } as const;
  const migration = await beginMigration(pair.a, VM, request);
  guest.change({ delay: 0 });
  await migration.reaches('stopping');
  guest.change({ delay: CALM_DELAY });
  return migration;
}

requireCapability('vm')('QMP at the source in stopping', () => {
  beforeAll(async () => {
    pair = await HostPair.open();
    await createTinyVm(pair.a, { name: VM, guest: { delay: CALM_DELAY, fill: FILL } });
  });
  beforeEach(async () => {
    pair.link.shape({ bytesPerSecond: undefined });
    await pair.bring(VM, pair.a);
  });
  afterAll(() => pair?.[Symbol.asyncDispose]());

  test('the connection is lost: the VM runs on as it was', async () => {
    const settings = await readSettings(pair.a, VM);
    const { qmpPath } = await pair.a.client.showVm(VM);
    await using proxy = await QmpProxy.open(qmpPath!);
    const migration = await beginLongStop();
    proxy.cut();
    const { report } = await migration.ended;
    expect(report).toMatchObject({ outcome: 'failed', owner: 'a', interrupted: true });
    await runsIntact(pair, VM, pair.a);
    expect(await readSettings(pair.a, VM)).toEqual(settings);
    await nothingRemains(pair.b, VM);
  });

  test('QEMU refuses to continue at first: it is told again', async () => {
    const { qmpPath } = await pair.a.client.showVm(VM);
    await using proxy = await QmpProxy.open(qmpPath!);
    const migration = await beginLongStop();
    proxy.refusals.set('cont', REFUSED_TIMES);
    await migration.cancel();
    expect((await migration.ended).report).toMatchObject({ outcome: 'cancelled', owner: 'a' });
    expect(proxy.refusals.get('cont')).toBe(0);
    expect(migration.notes.join('\n')).toContain('Continuing VM unheard failed and is tried again');
    await runsIntact(pair, VM, pair.a);
    await nothingRemains(pair.b, VM);
  });
});
