/** Journals that cannot be written: before the commit the VM stays, after it the VM goes on at the destination. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { FIRST_USABLE_PAGE } from '../../guest/tiny/layout.ts';
import type { MigrationMode } from '../../src/migration/request.ts';
import { requireCapability } from '../support/capability.ts';
import { furtherTest, withFurther } from '../support/further-cases.ts';
import {
  beginMigration,
  completedReport,
  createTinyVm,
  HostPair,
  openTinyGuest,
  type ReachedHost,
} from '../support/host-pair.ts';
import { runsIntact } from '../support/intact-vm.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { BUSY, CALM } from '../support/tiny-vm.ts';
import { nothingRemains } from '../support/traces.ts';
import { waitUntil } from '../support/wait-until.ts';

checkLeaks();

const VM = 'unrecorded';
const MIB = 2 ** 20;
const FILL = { firstPage: FIRST_USABLE_PAGE, pageCount: 4096 };

let pair: HostPair;
let faulty: ReachedHost | undefined;

/** From now on its daemon fails to write the nth record of each journal. */
async function failAt(at: ReachedHost, ...nths: readonly number[]): Promise<void> {
  faulty = at;
  await at.host.stop();
  await at.host.start({ GODWIT_FAULT: nths.map((nth) => `journalAppend:${nth}`).join(',') });
}

async function repair(): Promise<void> {
  await faulty?.host.stop();
  await faulty?.host.start();
  faulty = undefined;
}

/** With a daemon that can write again the VM moves as if nothing had been. */
async function movesAfterwards(): Promise<void> {
  await repair();
  completedReport(await (await beginMigration(pair.a, VM, { to: pair.link.address })).ended);
}

requireCapability('vm')('a journal that cannot be written', () => {
  beforeAll(async () => {
    pair = await HostPair.open();
    await createTinyVm(pair.a, { name: VM, guest: { ...BUSY, fill: FILL } });
  });
  beforeEach(async () => {
    await pair.bring(VM, pair.a);
    using guest = await openTinyGuest(pair.a, VM);
    guest.change(CALM);
  });
  afterEach(repair);
  afterAll(async () => {
    await pair?.[Symbol.asyncDispose]();
  });

  test.each<readonly [MigrationMode, number]>(
    withFurther([['post-copy', 6]], [['pre-copy', 5]]),
  )('at the destination from the commit on (%s): it is tried until it works, and the VM runs', async (mode, nth) => {
    await failAt(pair.b, nth, nth + 1);
    const migration = await beginMigration(pair.a, VM, { to: pair.link.address, mode });
    const report = completedReport(await migration.ended);
    expect(report.owner).toBe('b');
    expect(pair.b.host.log).toContain('Writing the journal failed and is tried again');
    await runsIntact(pair, VM, pair.b);
  });

  furtherTest(
    'at the destination that is started again while pages are missing: the VM waits for a disk with room',
    async () => {
      pair.link.shape({ bytesPerSecond: 8 * MIB });
      const migration = await beginMigration(pair.a, VM, { to: pair.link.address, mode: 'post-copy' });
      await migration.reaches('serving');
      await pair.b.host.kill();
      faulty = pair.b;
      await pair.b.host.start({ GODWIT_FAULT: 'journalAppend:1' });
      await waitUntil('a thread has died of it', () => pair.b.host.log.includes('journalAppend'));
      await pair.b.host.kill();
      await pair.b.host.start();
      completedReport(await migration.ended);
      await runsIntact(pair, VM, pair.b);
      pair.link.restore();
    },
  );

  test.each(
    withFurther<number>([], [1, 3, 4]),
  )('at the destination before the commit (record %i): the VM stays', async (nth) => {
    await failAt(pair.b, nth);
    const migration = await beginMigration(pair.a, VM, { to: pair.link.address, mode: 'pre-copy' });
    const { report } = await migration.ended;
    // Before it is ready the destination refuses.
    expect(report?.outcome).toBeOneOf(['failed', 'refused']);
    expect(report?.owner).toBe('a');
    await runsIntact(pair, VM, pair.a);
    await nothingRemains(pair.b, VM);
    await movesAfterwards();
  });

  test.each(
    withFurther([4], [1]),
  )('at the source (record %i; the last is a cancel): the VM stays, and is free', async (nth) => {
    await failAt(pair.a, nth);
    const slow = { to: pair.link.address, mode: 'pre-copy', bandwidthBytesPerSecond: 2 * MIB } as const;
    const migration = await beginMigration(pair.a, VM, slow);
    if (nth === 4) {
      await migration.progresses('sent', ({ sentBytes }) => sentBytes > MIB / 2);
      await migration.cancel();
    }
    const { report } = await migration.ended;
    expect(report?.outcome).toBeOneOf(['failed', 'cancelled']);
    expect(report?.owner).toBe('a');
    await pair.a.client.actOnVm(VM, 'pause');
    await pair.a.client.actOnVm(VM, 'resume');
    await runsIntact(pair, VM, pair.a);
    await nothingRemains(pair.b, VM);
    await movesAfterwards();
  });
});
