/** Daemons that are killed in the middle of a migration, and what the next ones make of it. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { FIRST_USABLE_PAGE } from '../../guest/tiny/layout.ts';
import type { MigrateBody } from '../../src/api/migration-schema.ts';
import { PACKING_STEPS } from '../../src/base/packing-step.ts';
import { identifyProcess, signalProcess } from '../../src/linux/process.ts';
import type { MigrationMode } from '../../src/migration/request.ts';
import { requireCapability } from '../support/capability.ts';
import { furtherTest, withFurther } from '../support/further-cases.ts';
import {
  beginMigration,
  completedReport,
  createTinyVm,
  endAt,
  HostPair,
  openTinyGuest,
  type ReachedHost,
  restart,
  WatchedMigration,
} from '../support/host-pair.ts';
import { runsIntact } from '../support/intact-vm.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { type QemuSettings, readSettings } from '../support/qemu-settings.ts';
import { BUSY, CALM } from '../support/tiny-vm.ts';
import { listMarks, listQemus, measureWork, nothingRemains } from '../support/traces.ts';
import { waitUntil } from '../support/wait-until.ts';

checkLeaks();

const VM = 'survivor';
const MIB = 2 ** 20;
/** Every page of the guest's working range has contents, also those that it has not come to yet: 16 MiB. */
const FILL = { firstPage: FIRST_USABLE_PAGE, pageCount: 4096 };
const SLOW_LINK = { bytesPerSecond: 8 * MIB };
const FULL_LINK = { bytesPerSecond: undefined, delayMs: 0 };
/** Long enough to do something while a message is on its way. */
const LATE_LINK = { delayMs: 400 };
const WORK_SAMPLE_MS = 400;
/** Slowed it does a tenth or less; others use this machine too. */
const WORK_PART = 0.2;

let pair: HostPair;
/** Of the VM that no migration has touched. */
let settings: QemuSettings;

async function begin(request: Partial<MigrateBody>): Promise<WatchedMigration> {
  return await beginMigration(pair.a, VM, { to: pair.link.address, connections: 0, ...request });
}

async function change(at: ReachedHost, pace: typeof CALM | typeof BUSY): Promise<void> {
  using guest = await openTinyGuest(at, VM);
  guest.change(pace);
}

async function isIntactAt(at: ReachedHost): Promise<void> {
  await runsIntact(pair, VM, at);
  expect(await readSettings(at, VM)).toEqual(settings);
}

/** The VM of all these tests is here, and of any other nothing is left. */
async function isOnlyQemu(at: ReachedHost): Promise<void> {
  await waitUntil('nothing of another VM remains', () => listQemus(at).length === 1);
  expect((await at.client.listVms()).map(({ name }) => name)).toEqual([VM]);
}

requireCapability('vm')('recovery', () => {
  beforeAll(async () => {
    pair = await HostPair.open();
    await createTinyVm(pair.a, { name: VM, guest: { ...BUSY, fill: FILL } });
    settings = await readSettings(pair.a, VM);
  });
  beforeEach(async () => {
    pair.link.shape(FULL_LINK);
    // What a failed test has left.
    for (const { host } of [pair.a, pair.b]) if (!host.isRunning) await host.start();
    await pair.bring(VM, pair.a);
    await change(pair.a, CALM);
  });
  afterAll(async () => {
    await pair?.[Symbol.asyncDispose]();
  });

  test('source daemon killed in copying: the VM is at full speed before there is a new one, and stays', async () => {
    await change(pair.a, BUSY);
    using guest = await openTinyGuest(pair.a, VM);
    const { pid } = await pair.a.client.showVm(VM);
    const speed = await measureWork(guest, WORK_SAMPLE_MS);
    const without = [...PACKING_STEPS];
    const migration = await begin({ mode: 'pre-copy', bandwidthBytesPerSecond: 8 * MIB, without });
    await migration.progresses('slowed', ({ throttlePercent }) => throttlePercent > 50);
    await pair.a.host.kill();
    // The lease of the slowdown and the kernel see to it.
    await waitUntil('the VM is at full speed', () => listMarks(pid!).length === 0);
    expect(await measureWork(guest, WORK_SAMPLE_MS)).toBeGreaterThan(speed * WORK_PART);
    await pair.a.host.start();
    const { report } = await endAt(pair.a, migration.id);
    expect(report).toMatchObject({
      outcome: 'failed',
      owner: 'a',
      interrupted: true,
      error: { code: 'GW_MIGRATION_INTERRUPTED' },
    });
    await isIntactAt(pair.a);
  });

  furtherTest(
    'source daemon killed before it has reached the destination: that is reported, and the VM stays',
    async () => {
      pair.link.hold();
      const migration = await begin({});
      await migration.reaches('preparing');
      await restart(pair.a);
      pair.link.restore();
      const { report } = await endAt(pair.a, migration.id);
      expect(report).toMatchObject({ outcome: 'failed', owner: 'a', interrupted: true });
      expect(report!.error!.code).toBe('GW_MIGRATION_INTERRUPTED');
      await isIntactAt(pair.a);
    },
  );

  test('source daemon killed in stopping: the VM is resumed by the next one', async () => {
    pair.link.shape(SLOW_LINK);
    await change(pair.a, BUSY);
    const migration = await begin({ mode: 'pre-copy', maxDowntimeMs: 60_000 });
    await migration.reaches('stopping');
    await restart(pair.a);
    pair.link.shape(FULL_LINK);
    const { report } = await endAt(pair.a, migration.id);
    expect(report).toMatchObject({ outcome: 'failed', owner: 'a' });
    await isIntactAt(pair.a);
  });

  test("the source's thread dies of an error in stopping: the next one continues the VM", async () => {
    await pair.a.host.kill();
    // A thread tells its first phase twice.
    await pair.a.host.start({ GODWIT_FAULT: 'threadPhase:4' });
    const migration = await begin({ mode: 'post-copy' });
    const { report } = await endAt(pair.a, migration.id);
    expect(report).toMatchObject({ outcome: 'failed', owner: 'a', interrupted: true });
    await isIntactAt(pair.a);
    await restart(pair.a);
  });

  test('source daemon killed in serving: the next one serves the rest', async () => {
    pair.link.shape(SLOW_LINK);
    const migration = await begin({ mode: 'post-copy', verify: true });
    await migration.reaches('serving');
    await restart(pair.a);
    pair.link.shape(FULL_LINK);
    expect((await endAt(pair.b, migration.id)).report).toMatchObject({ outcome: 'completed', owner: 'b' });
    expect((await endAt(pair.a, migration.id)).report).toMatchObject({ outcome: 'completed', owner: 'b' });
    await isIntactAt(pair.b);
  });

  test('a migration that owes an abort leaves the VM to the next one, also after a restart', async () => {
    pair.link.shape(SLOW_LINK);
    await change(pair.a, BUSY);
    const first = await begin({ mode: 'pre-copy', maxDowntimeMs: 60_000 });
    await first.reaches('stopping');
    pair.link.cut();
    expect((await first.ended).report).toMatchObject({ outcome: 'failed', owner: 'a' });
    const firstReport = (await pair.a.client.showMigration(first.id)).report;
    await change(pair.a, CALM);
    const request = { mode: 'post-copy', bandwidthBytesPerSecond: 8 * MIB } as const;
    const second = await beginMigration(pair.a, VM, { to: pair.b.host.migration, ...request });
    await second.reaches('serving');
    await restart(pair.a);
    expect(await endAt(pair.a, second.id)).toMatchObject({ state: 'completed', notes: [] });
    expect((await pair.a.client.showMigration(first.id)).report).toEqual(firstReport);
    await isIntactAt(pair.b);
    // What the first one owed is heard by now; the daemon that is started next has nothing to do.
    pair.link.restore();
    await restart(pair.b);
    await isIntactAt(pair.b);
  });

  test('destination daemon killed in pagingIn: the next one fetches the rest', async () => {
    pair.link.shape(SLOW_LINK);
    const migration = await begin({ mode: 'hybrid' });
    await migration.reaches('serving');
    await restart(pair.b);
    pair.link.shape(FULL_LINK);
    completedReport(await migration.ended);
    expect((await endAt(pair.b, migration.id)).report).toMatchObject({ outcome: 'completed', owner: 'b' });
    await isIntactAt(pair.b);
  });

  test("destination daemon killed after the last page: the VM is its user's, and the source hears of it", async () => {
    const migration = await begin({ mode: 'post-copy' });
    await migration.reaches('serving');
    const there = new WatchedMigration(pair.b, migration.id);
    pair.link.shape(LATE_LINK, 'down');
    await there.reaches('done');
    await restart(pair.b);
    pair.link.shape(FULL_LINK);
    completedReport(await migration.ended);
    await pair.b.client.actOnVm(VM, 'pause');
    await pair.b.client.actOnVm(VM, 'resume');
    await isIntactAt(pair.b);
    await nothingRemains(pair.a, VM);
  });

  test('destination daemon killed before it hears of the commit: the next one runs the VM', async () => {
    const migration = await begin({ mode: 'pre-copy', bandwidthBytesPerSecond: 8 * MIB });
    await migration.reaches('stopping');
    pair.link.shape(LATE_LINK, 'up');
    await migration.reaches('committed');
    await restart(pair.b);
    pair.link.shape(FULL_LINK);
    completedReport(await migration.ended);
    expect((await endAt(pair.b, migration.id)).report).toMatchObject({ outcome: 'completed', owner: 'b' });
    await isIntactAt(pair.b);
  });

  furtherTest('destination daemon killed in receiving: the VM stays, and what its QEMU held is gone', async () => {
    const migration = await begin({ mode: 'pre-copy', bandwidthBytesPerSecond: 8 * MIB });
    await migration.progresses('pages are sent', ({ sentBytes }) => sentBytes > MIB);
    await restart(pair.b);
    expect((await migration.ended).report).toMatchObject({ outcome: 'failed', owner: 'a' });
    await isIntactAt(pair.a);
  });

  test.each<MigrationMode>(
    withFurther(['post-copy'], ['pre-copy']),
  )('both daemons killed after a %s: the VM is found, once', async (mode) => {
    const migration = await begin({ mode });
    completedReport(await migration.ended);
    await restart(pair.a);
    await restart(pair.b);
    await isIntactAt(pair.b);
    expect((await pair.a.client.listMigrations())[0]).toMatchObject({ id: migration.id, state: 'completed' });
    expect((await pair.b.client.listMigrations())[0]).toMatchObject({ id: migration.id, state: 'completed' });
  });

  furtherTest('both daemons killed in copying, and only the destination comes back at first', async () => {
    const migration = await begin({ mode: 'pre-copy', bandwidthBytesPerSecond: 8 * MIB });
    await migration.progresses('pages are sent', ({ sentBytes }) => sentBytes > MIB);
    await Promise.all([pair.a.host.kill(), pair.b.host.kill()]);
    await pair.b.host.start();
    await nothingRemains(pair.b, VM);
    await pair.a.host.start();
    expect((await endAt(pair.a, migration.id)).report).toMatchObject({ outcome: 'failed', owner: 'a' });
    await isIntactAt(pair.a);
  });

  furtherTest(
    'the destination QEMU dies while the source daemon is down: the next one hears that the VM is lost',
    async () => {
      const vm = 'doomed';
      await createTinyVm(pair.a, { name: vm, guest: { ...BUSY, fill: FILL } });
      pair.link.shape(SLOW_LINK);
      const migration = await beginMigration(pair.a, vm, { mode: 'post-copy', to: pair.link.address });
      await migration.reaches('serving');
      await pair.a.host.kill();
      for (const pid of listQemus(pair.b)) signalProcess(identifyProcess(pid)!, 'SIGKILL');
      const lost = {
        outcome: 'failed',
        owner: 'b',
        error: { code: 'GW_QEMU_GONE', message: expect.stringContaining(`VM ${vm} is lost`) },
      };
      expect((await endAt(pair.b, migration.id)).report).toMatchObject(lost);
      pair.link.shape(FULL_LINK);
      await pair.a.host.start();
      expect((await endAt(pair.a, migration.id)).report).toMatchObject(lost);
      await isOnlyQemu(pair.a);
      expect(await pair.b.client.showVm(vm)).toMatchObject({ state: 'crashed', migration: null });
      await pair.b.client.removeVm(vm);
      await isIntactAt(pair.a);
    },
  );

  test('the destination QEMU dies in pagingIn: what is left at the source is freed, and a note says so', async () => {
    const vm = 'doomed';
    await createTinyVm(pair.a, { name: vm, guest: { ...BUSY, fill: FILL } });
    pair.link.shape(SLOW_LINK);
    const migration = await beginMigration(pair.a, vm, { mode: 'hybrid', to: pair.link.address });
    await migration.reaches('serving');
    for (const pid of listQemus(pair.b)) signalProcess(identifyProcess(pid)!, 'SIGKILL');
    expect((await migration.ended).report).toMatchObject({ outcome: 'failed', owner: 'b' });
    expect(migration.notes).toContainEqual(expect.stringContaining('is freed'));
    await isOnlyQemu(pair.a);
    await pair.b.client.removeVm(vm);
  });

  furtherTest(
    'the destination QEMU ends after the last page while its daemon is down: that is its user’s loss, and the source ends',
    async () => {
      const vm = 'doomed';
      await createTinyVm(pair.a, { name: vm, guest: { ...BUSY, fill: FILL } });
      const migration = await beginMigration(pair.a, vm, { mode: 'post-copy', to: pair.link.address });
      await migration.reaches('serving');
      const there = new WatchedMigration(pair.b, migration.id);
      pair.link.shape(LATE_LINK, 'down');
      await there.reaches('done');
      const journal = pair.b.host.directory.join('state', 'migrations', migration.id, 'incoming.journal');
      await waitUntil('that is written down', () => readFileSync(journal, 'utf8').includes('"complete"'));
      await pair.b.host.kill();
      for (const pid of listQemus(pair.b)) signalProcess(identifyProcess(pid)!, 'SIGKILL');
      await pair.b.host.start();
      await waitUntil('nobody has the VM', async () => (await pair.b.client.showVm(vm)).migration === null);
      expect(await pair.b.client.showVm(vm)).toMatchObject({ state: 'crashed' });
      await pair.b.client.removeVm(vm);
      pair.link.shape(FULL_LINK);
      completedReport(await migration.ended);
      await isOnlyQemu(pair.a);
    },
  );

  test('a cancel at the destination that has loaded the VM is refused, and does the VM no harm', async () => {
    pair.link.shape(LATE_LINK, 'down');
    const migration = await begin({ mode: 'pre-copy', maxDowntimeMs: 60_000 });
    await migration.reaches('copying');
    const there = new WatchedMigration(pair.b, migration.id);
    await there.reaches('loaded');
    await expect(there.cancel()).rejects.toMatchObject({ code: 'GW_CONFLICT' });
    completedReport(await migration.ended);
    pair.link.shape(FULL_LINK);
    await isIntactAt(pair.b);
  });

  furtherTest('a source daemon that is told to end cancels first', async () => {
    const migration = await begin({ mode: 'pre-copy', bandwidthBytesPerSecond: 8 * MIB });
    await migration.reaches('copying');
    expect(await pair.a.host.stop()).toBe(0);
    await nothingRemains(pair.b, VM);
    await pair.a.host.start();
    expect((await endAt(pair.a, migration.id)).report).toMatchObject({ outcome: 'cancelled', owner: 'a' });
    await isIntactAt(pair.a);
  });
});
