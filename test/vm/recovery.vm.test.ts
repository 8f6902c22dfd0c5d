/** Daemons that are killed in the middle of a migration, and what the next ones make of it. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { FIRST_USABLE_PAGE } from '../../guest/tiny/layout.ts';
import type { MigrateBody, MigrationView } from '../../src/api/migration-schema.ts';
import { requireCapability } from '../support/capability.ts';
import {
  beginMigration,
  completedReport,
  createTinyVm,
  HostPair,
  isFree,
  openTinyGuest,
  type ReachedHost,
  type WatchedMigration,
} from '../support/host-pair.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { LinkProxy } from '../support/link-proxy.ts';
import { listMarks, measureWork, noMarks, nothingRemains } from '../support/traces.ts';
import { waitUntil } from '../support/wait-until.ts';

checkLeaks();

const VM = 'survivor';
const MIB = 2 ** 20;
/** Every page of the guest's working range has contents, also those that it has not come to yet: 16 MiB. */
const FILL = { firstPage: FIRST_USABLE_PAGE, pageCount: 4096 };
const SLOW_LINK = { bytesPerSecond: 8 * MIB };
const FULL_LINK = { bytesPerSecond: undefined };
/** Some thousand pages a second: rounds have something to send that was not written again already. */
const CALM_DELAY = 200_000;
const WORK_SAMPLE_MS = 400;
/** Slowed it does a tenth or less; others use this machine too. */
const WORK_PART = 0.2;

let pair: HostPair;
let link: LinkProxy;

async function begin(request: Partial<MigrateBody>): Promise<WatchedMigration> {
  return await beginMigration(pair.a, VM, { to: link.address, ...request });
}

async function change(at: ReachedHost, delay: number): Promise<void> {
  using guest = await openTinyGuest(at, VM);
  guest.change({ delay });
}

async function isIntactAt(at: ReachedHost): Promise<void> {
  const { pid, state } = await isFree(at, VM);
  expect(state).toBe('running');
  using guest = await openTinyGuest(at, VM);
  await guest.pagesWritten(100);
  await at.client.actOnVm(VM, 'pause');
  const invariant = guest.checkInvariant();
  await at.client.actOnVm(VM, 'resume');
  expect(invariant).toEqual({ ok: true });
  await noMarks(pid!);
  await nothingRemains(at === pair.a ? pair.b : pair.a, VM);
}

/** The migration once a daemon knows how it ended, whichever daemon that is. */
async function endAt(at: ReachedHost, id: string): Promise<MigrationView> {
  return await waitUntil('the migration has ended', async () => {
    const view = await at.client.showMigration(id);
    return view.state === 'running' ? undefined : view;
  });
}

async function restart({ host }: ReachedHost): Promise<void> {
  await host.kill();
  await host.start();
}

requireCapability('vm')('recovery', () => {
  beforeAll(async () => {
    pair = await HostPair.open();
    link = await LinkProxy.open(pair.b.host.migration);
    await createTinyVm(pair.a, { name: VM, guest: { fill: FILL } });
  });
  beforeEach(async () => {
    link.shape(FULL_LINK);
    // What a failed test has left.
    for (const { host } of [pair.a, pair.b]) if (!host.isRunning) await host.start();
    await pair.bring(VM, pair.a);
    await change(pair.a, CALM_DELAY);
  });
  afterAll(async () => {
    await link?.[Symbol.asyncDispose]();
    await pair?.[Symbol.asyncDispose]();
  });

  test('source daemon killed in copying: the VM is at full speed before there is a new one, and stays', async () => {
    await change(pair.a, 0);
    using guest = await openTinyGuest(pair.a, VM);
    const { pid } = await pair.a.client.showVm(VM);
    const speed = await measureWork(guest, WORK_SAMPLE_MS);
    const migration = await begin({ mode: 'pre-copy', bandwidthBytesPerSecond: 32 * MIB });
    await migration.progresses('slowed', ({ throttlePercent }) => throttlePercent > 50);
    await pair.a.host.kill();
    // The lease of the slowdown and the kernel see to it.
    await waitUntil('the VM is at full speed', () => listMarks(pid!).length === 0);
    expect(await measureWork(guest, WORK_SAMPLE_MS)).toBeGreaterThan(speed * WORK_PART);
    await pair.a.host.start();
    const { report } = await endAt(pair.a, migration.id);
    expect(report).toMatchObject({ outcome: 'failed', owner: 'a', error: { code: 'GW_MIGRATION_INTERRUPTED' } });
    await isIntactAt(pair.a);
  });

  test('source daemon killed in stopping: the VM is resumed by the next one', async () => {
    link.shape(SLOW_LINK);
    await change(pair.a, 0);
    const migration = await begin({ mode: 'pre-copy', maxDowntimeMs: 60_000 });
    await migration.reaches('stopping');
    await restart(pair.a);
    link.shape(FULL_LINK);
    const { report } = await endAt(pair.a, migration.id);
    expect(report).toMatchObject({ outcome: 'failed', owner: 'a' });
    await isIntactAt(pair.a);
  });

  test('source daemon killed in serving: the next one serves the rest', async () => {
    link.shape(SLOW_LINK);
    const migration = await begin({ mode: 'post-copy', verify: true });
    await migration.reaches('serving');
    await restart(pair.a);
    link.shape(FULL_LINK);
    expect((await endAt(pair.b, migration.id)).report).toMatchObject({ outcome: 'completed', owner: 'b' });
    expect((await endAt(pair.a, migration.id)).report).toMatchObject({ outcome: 'completed', owner: 'b' });
    await isIntactAt(pair.b);
  });

  test('a migration that owes an abort leaves the VM to the next one, also after a restart', async () => {
    link.shape(SLOW_LINK);
    await change(pair.a, 0);
    const first = await begin({ mode: 'pre-copy', maxDowntimeMs: 60_000 });
    await first.reaches('stopping');
    link.cut();
    expect((await first.ended).report).toMatchObject({ outcome: 'failed', owner: 'a' });
    const firstReport = (await pair.a.client.showMigration(first.id)).report;
    await change(pair.a, CALM_DELAY);
    const request = { mode: 'post-copy', bandwidthBytesPerSecond: 8 * MIB } as const;
    const second = await beginMigration(pair.a, VM, { to: pair.b.host.migration, ...request });
    await second.reaches('serving');
    await restart(pair.a);
    expect(await endAt(pair.a, second.id)).toMatchObject({ state: 'completed', notes: [] });
    expect((await pair.a.client.showMigration(first.id)).report).toEqual(firstReport);
    await isIntactAt(pair.b);
    // What the first one owed is heard by now; the daemon that is started next has nothing to do.
    link.restore();
    await restart(pair.b);
    await isIntactAt(pair.b);
  });

  test('destination daemon killed in pagingIn: the next one fetches the rest', async () => {
    link.shape(SLOW_LINK);
    const migration = await begin({ mode: 'hybrid' });
    await migration.reaches('serving');
    await restart(pair.b);
    link.shape(FULL_LINK);
    completedReport(await migration.ended);
    expect((await endAt(pair.b, migration.id)).report).toMatchObject({ outcome: 'completed', owner: 'b' });
    await isIntactAt(pair.b);
  });

  test('destination daemon killed in receiving: the VM stays, and what its QEMU held is gone', async () => {
    const migration = await begin({ mode: 'pre-copy', bandwidthBytesPerSecond: 8 * MIB });
    await migration.progresses('pages are sent', ({ sentBytes }) => sentBytes > MIB);
    await restart(pair.b);
    expect((await migration.ended).report).toMatchObject({ outcome: 'failed', owner: 'a' });
    await isIntactAt(pair.a);
  });

  test.each([
    'pre-copy',
    'post-copy',
  ] as const)('both daemons killed after a %s: the VM is found, once', async (mode) => {
    const migration = await begin({ mode });
    completedReport(await migration.ended);
    await restart(pair.a);
    await restart(pair.b);
    await isIntactAt(pair.b);
    expect((await pair.a.client.listMigrations())[0]).toMatchObject({ id: migration.id, state: 'completed' });
    expect((await pair.b.client.listMigrations())[0]).toMatchObject({ id: migration.id, state: 'completed' });
  });

  test('both daemons killed in copying, and only the destination comes back at first', async () => {
    const migration = await begin({ mode: 'pre-copy', bandwidthBytesPerSecond: 8 * MIB });
    await migration.progresses('pages are sent', ({ sentBytes }) => sentBytes > MIB);
    await Promise.all([pair.a.host.kill(), pair.b.host.kill()]);
    await pair.b.host.start();
    await nothingRemains(pair.b, VM);
    await pair.a.host.start();
    expect((await endAt(pair.a, migration.id)).report).toMatchObject({ outcome: 'failed', owner: 'a' });
    await isIntactAt(pair.a);
  });

  test('a source daemon that is told to end cancels first', async () => {
    const migration = await begin({ mode: 'pre-copy', bandwidthBytesPerSecond: 8 * MIB });
    await migration.reaches('copying');
    expect(await pair.a.host.stop()).toBe(0);
    await nothingRemains(pair.b, VM);
    await pair.a.host.start();
    expect((await endAt(pair.a, migration.id)).report).toMatchObject({ outcome: 'cancelled', owner: 'a' });
    await isIntactAt(pair.a);
  });
});
