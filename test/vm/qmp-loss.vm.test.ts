/** A QEMU that lives and cannot be talked to for a while: the VM that it was stopped for runs on at the source. */
import { globSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { FIRST_USABLE_PAGE } from '../../guest/tiny/layout.ts';
import { countPages, PAGE_SIZE } from '../../src/base/page.ts';
import { requireCapability } from '../support/capability.ts';
import { furtherTest, withFurther } from '../support/further-cases.ts';
import {
  beginMigration,
  completedReport,
  createTinyVm,
  HostPair,
  openTinyGuest,
  type WatchedMigration,
} from '../support/host-pair.ts';
import { runsIntact } from '../support/intact-vm.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { readSettings } from '../support/qemu-settings.ts';
import { QmpProxy } from '../support/qmp-proxy.ts';
import { BUSY, CALM } from '../support/tiny-vm.ts';
import { nothingRemains } from '../support/traces.ts';
import { waitUntil } from '../support/wait-until.ts';

checkLeaks();

const VM = 'unheard';
const MIB = 2 ** 20;
const FILL = { firstPage: FIRST_USABLE_PAGE, pageCount: 4096 };
const REFUSED_TIMES = 2;
const SOME_PAGES = 100;

let pair: HostPair;

async function beginSlowly(): Promise<WatchedMigration> {
  pair.link.shape({ bytesPerSecond: MIB });
  const migration = await beginMigration(pair.a, VM, { mode: 'pre-copy', to: pair.link.address });
  await migration.reaches('copying');
  await migration.progresses('sent', ({ sentBytes }) => sentBytes > MIB / 2);
  return migration;
}

/** All pages were written again, and the link is slow: the last round takes seconds. */
async function beginLongStop(): Promise<WatchedMigration> {
  pair.link.shape({ bytesPerSecond: 8 * MIB });
  using guest = await openTinyGuest(pair.a, VM);
  const request = { mode: 'pre-copy', maxDowntimeMs: 60_000, to: pair.link.address } as const;
  const migration = await beginMigration(pair.a, VM, request);
  guest.change(BUSY);
  await migration.reaches('stopping');
  guest.change(CALM);
  return migration;
}

requireCapability('vm')('QMP that does not answer', () => {
  beforeAll(async () => {
    pair = await HostPair.open();
    await createTinyVm(pair.a, { name: VM, guest: { ...CALM, fill: FILL } });
  });
  beforeEach(async () => {
    pair.link.shape({ bytesPerSecond: undefined });
    await pair.bring(VM, pair.a);
  });
  afterAll(() => pair?.[Symbol.asyncDispose]());

  test.each(
    withFurther<[string, () => Promise<WatchedMigration>]>([['stopping', beginLongStop]], [['copying', beginSlowly]]),
  )('at the source in %s, because the connection is lost: the VM runs on as it was', async (_, begin) => {
    const settings = await readSettings(pair.a, VM);
    const { qmpPath } = await pair.a.client.showVm(VM);
    await using proxy = await QmpProxy.open(qmpPath!);
    const migration = await begin();
    proxy.cut();
    const { report } = await migration.ended;
    expect(report).toMatchObject({ outcome: 'failed', owner: 'a', interrupted: true });
    await runsIntact(pair, VM, pair.a);
    expect(await readSettings(pair.a, VM)).toEqual(settings);
    await nothingRemains(pair.b, VM);
  });

  furtherTest('at the source in stopping, at first, to `cont`: it is told again', async () => {
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

  furtherTest(
    'at the destination after a restart, as where QEMU waits for a page itself: pages come all the same',
    async () => {
      pair.link.shape({ bytesPerSecond: 8 * MIB });
      const migration = await beginMigration(pair.a, VM, { to: pair.link.address, mode: 'post-copy' });
      await migration.reaches('serving');
      await waitUntil('the VM has arrived', async () => (await pair.b.client.showVm(VM)).pid !== null);
      using there = await openTinyGuest(pair.b, VM);
      const presentPages = (): number => countPages(there.ram.dataRuns(0, there.ram.bytes / PAGE_SIZE));
      const [socket] = globSync(pair.b.host.directory.join('state', 'vms', VM, '*', 'qmp.sock'));
      await pair.b.host.kill();
      await using proxy = await QmpProxy.open(socket!);
      proxy.isMute = true;
      const started = pair.b.host.start();
      const before = presentPages();
      await waitUntil('more pages have come', () => presentPages() > before + SOME_PAGES);
      proxy.isMute = false;
      await started;
      completedReport(await migration.ended);
      await runsIntact(pair, VM, pair.b);
      await nothingRemains(pair.a, VM);
    },
  );
});
