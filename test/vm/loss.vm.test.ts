/** The destination's QEMU dies after the commit: both hosts say that the VM is lost, and nobody runs it ever again. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { FIRST_USABLE_PAGE } from '../../guest/tiny/layout.ts';
import type { MigrateBody, MigrationView } from '../../src/api/migration-schema.ts';
import { identifyProcess, signalProcess } from '../../src/linux/process.ts';
import { requireCapability } from '../support/capability.ts';
import { withFurther } from '../support/further-cases.ts';
import {
  beginMigration,
  createTinyVm,
  HostPair,
  isFree,
  openTinyGuest,
  WatchedMigration,
} from '../support/host-pair.ts';
import { runsIntact } from '../support/intact-vm.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { readSettings } from '../support/qemu-settings.ts';
import type { TinyGuestView } from '../support/tiny-guest-view.ts';
import { CALM } from '../support/tiny-vm.ts';
import { listQemus, nothingRemains } from '../support/traces.ts';
import { within } from '../support/wait-until.ts';

checkLeaks();

const VM = 'mortal';
const MIB = 2 ** 20;
/** Some thousand pages a second; 16 MiB have contents. */
const GUEST = { ...CALM, fill: { firstPage: FIRST_USABLE_PAGE, pageCount: 4096 } };
/** 16 MiB take two seconds. */
const SLOW_BYTES_PER_SECOND = 8 * MIB;
/** Stops, however busy the machine is. */
const SLOW_PRE_COPY = {
  mode: 'pre-copy',
  bandwidthBytesPerSecond: SLOW_BYTES_PER_SECOND,
  maxDowntimeMs: 60_000,
} as const;
/** Long enough to do something while a message is on its way. */
const LATE_LINK = { delayMs: 400 };
/** Nobody waits for what cannot come any more. */
const LOSS_TOLD_MS = 2000;
const LOSS = /VM mortal is lost after it was given away: QEMU of VM mortal has ended/;
/** How a migration ends on a host that knows. */
const LOST = {
  state: 'failed',
  report: { outcome: 'failed', owner: 'b', error: { code: 'GW_QEMU_GONE', message: expect.stringMatching(LOSS) } },
};

let pair: HostPair;
/** What the source has of it. */
let guest: TinyGuestView;

async function begin(request: Partial<MigrateBody>): Promise<WatchedMigration> {
  return await beginMigration(pair.a, VM, { to: pair.link.address, connections: 0, ...request });
}

/** A pre-copy whose source has stopped the VM, and whose destination hears the commit late. */
async function beginLateCommit(): Promise<{ migration: WatchedMigration; there: WatchedMigration }> {
  const migration = await begin(SLOW_PRE_COPY);
  await migration.reaches('copying');
  const there = new WatchedMigration(pair.b, migration.id);
  await migration.reaches('stopping');
  pair.link.shape(LATE_LINK, 'up');
  return { migration, there };
}

/** How both sides say that it ended. */
async function killAtDestination(migration: WatchedMigration, there: WatchedMigration): Promise<MigrationView[]> {
  const { pagesWritten } = guest.counters;
  const pids = listQemus(pair.b);
  expect(pids).toHaveLength(1);
  for (const pid of pids) signalProcess(identifyProcess(pid)!, 'SIGKILL');
  const ended = Promise.all([migration.ended, there.ended]);
  const views = await within('both hosts know of the loss', ended, LOSS_TOLD_MS);
  expect(listQemus(pair.b)).toEqual([]);
  expect(guest.counters.pagesWritten).toBe(pagesWritten);
  return views;
}

async function isNotRunByTheNextDaemon({ a }: HostPair): Promise<void> {
  await a.host.kill();
  await a.host.start();
  expect(await a.client.listVms()).toEqual([]);
  expect(listQemus(a)).toEqual([]);
}

requireCapability('vm')('a VM that dies', () => {
  beforeAll(async () => {
    pair = await HostPair.open();
  });
  beforeEach(async () => {
    await createTinyVm(pair.a, { name: VM, guest: GUEST });
    guest = await openTinyGuest(pair.a, VM);
  });
  afterEach(() => {
    guest[Symbol.dispose]();
    pair.link.shape({ bytesPerSecond: undefined, delayMs: 0 });
  });
  afterAll(() => pair?.[Symbol.asyncDispose]());

  test.each(
    withFurther<'post-copy' | 'hybrid'>(['hybrid'], ['post-copy']),
  )('while it is paged in (%s)', async (mode) => {
    pair.link.shape({ bytesPerSecond: SLOW_BYTES_PER_SECOND });
    const migration = await begin({ mode });
    await migration.reaches('serving');
    const there = new WatchedMigration(pair.b, migration.id);
    await there.reaches('pagingIn');
    expect(await killAtDestination(migration, there)).toMatchObject([LOST, LOST]);
    await nothingRemains(pair.a, VM);
    for (const { host } of [pair.a, pair.b]) {
      expect((await host.cli(['migration', 'show', migration.id])).stdout).toMatch(LOSS);
    }
    expect(await pair.b.client.showVm(VM)).toMatchObject({ state: 'crashed', migration: null });
    await pair.b.client.removeVm(VM);
    await nothingRemains(pair.b, VM);
    await isNotRunByTheNextDaemon(pair);
  });

  test('before it ran, when its host owns it already, is listed as crashed there', async () => {
    const { migration, there } = await beginLateCommit();
    await there.reaches('loaded');
    const [qemu] = listQemus(pair.b);
    signalProcess(identifyProcess(qemu!)!, 'SIGSTOP');
    await there.reaches('resuming');
    expect(await killAtDestination(migration, there)).toMatchObject([LOST, LOST]);
    await nothingRemains(pair.a, VM);
    expect(await isFree(pair.b, VM)).toMatchObject({ state: 'crashed' });
    await pair.b.client.removeVm(VM);
    await nothingRemains(pair.b, VM);
    await isNotRunByTheNextDaemon(pair);
  });

  test('before its host has heard of the commit is kept at the source, and a person takes it back', async () => {
    const settings = await readSettings(pair.a, VM);
    const { migration, there } = await beginLateCommit();
    await migration.reaches('committed');
    const ended = await killAtDestination(migration, there);
    const kept = {
      ...LOST.report,
      error: { message: expect.stringMatching(/given away and not taken.*left as it is, paused/) },
    };
    expect(ended).toMatchObject([{ report: kept }, { state: 'failed', report: { error: { code: 'GW_QEMU_GONE' } } }]);
    await nothingRemains(pair.b, VM);
    expect(await pair.a.client.listVms()).toEqual([]);
    await pair.a.host.kill();
    await pair.a.host.start();
    expect(listQemus(pair.a)).toHaveLength(1);
    const [, adopt] = /godwit (vm adopt .*); godwit vm resume/.exec(migration.notes.join(' '))!;
    expect(await pair.a.host.cli(adopt!.split(' '))).toMatchObject({ stderr: '', status: 0 });
    expect(await pair.a.host.cli(['vm', 'resume', VM])).toMatchObject({ status: 0 });
    await runsIntact(pair, VM, pair.a);
    expect(await readSettings(pair.a, VM)).toEqual(settings);
    await pair.a.client.actOnVm(VM, 'kill');
    await pair.a.client.removeVm(VM);
  });
});
