/** Cancelling in every phase: the VM goes on at the source as if nothing had been, and nothing is left anywhere. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { FIRST_USABLE_PAGE } from '../../guest/tiny/layout.ts';
import { hasCode } from '../../src/base/errors.ts';
import { PACKING_STEPS } from '../../src/base/packing-step.ts';
import { PAGE_SIZE } from '../../src/base/page.ts';
import { identifyProcess } from '../../src/linux/process.ts';
import type { MigrationMode } from '../../src/migration/request.ts';
import { requireCapability } from '../support/capability.ts';
import { furtherTest, withFurther } from '../support/further-cases.ts';
import { runCli } from '../support/godwit-cli.ts';
import {
  beginMigration,
  completedReport,
  createTinyVm,
  HostPair,
  isFree,
  openTinyGuest,
} from '../support/host-pair.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { LinkProxy } from '../support/link-proxy.ts';
import { type QemuSettings, readSettings } from '../support/qemu-settings.ts';
import type { TinyGuestView } from '../support/tiny-guest-view.ts';
import { BUSY, CALM } from '../support/tiny-vm.ts';
import { measureWork, noMarks, nothingRemains } from '../support/traces.ts';

checkLeaks();

const VM = 'cancelled';
const MIB = 2 ** 20;
/** Every page of the guest's working range has contents, also those that it has not come to yet: 16 MiB. */
const FILL = { firstPage: FIRST_USABLE_PAGE, pageCount: 4096 };
/** 16 MiB of data take two seconds: time to cancel in. */
const SLOW_BYTES_PER_SECOND = 8 * MIB;
/** The link itself, not a limit: the last pages are sent as fast as it goes. */
const SLOW_LINK = { bytesPerSecond: 8 * MIB };
const WORK_SAMPLE_MS = 400;
/** Sends are given up a second after a cancel; others use this machine too. */
const SILENCE_COSTS_MS = 5000;
/** Slowed it does a tenth or less; others use this machine too. */
const WORK_PART = 0.2;

let pair: HostPair;
let link: LinkProxy;
let epoch: number;
/** Of the VM that no migration has touched. */
let settings: QemuSettings;

async function change(parameters: Parameters<TinyGuestView['change']>[0]): Promise<void> {
  using guest = await openTinyGuest(pair.a, VM);
  guest.change(parameters);
}

async function atSourceAsBefore(): Promise<void> {
  const vm = await isFree(pair.a, VM);
  expect(vm).toMatchObject({ state: 'running', owner: 'a', epoch });
  await noMarks(vm.pid!);
  await nothingRemains(pair.b, VM);
  using guest = await openTinyGuest(pair.a, VM);
  await guest.pagesWritten(1000);
  await pair.a.client.actOnVm(VM, 'pause');
  const invariant = guest.checkInvariant();
  await pair.a.client.actOnVm(VM, 'resume');
  expect(invariant).toEqual({ ok: true });
}

requireCapability('vm')('cancel', () => {
  beforeAll(async () => {
    pair = await HostPair.open();
    link = await LinkProxy.open(pair.b.host.migration);
    await createTinyVm(pair.a, { name: VM, guest: { ...BUSY, fill: FILL } });
    settings = await readSettings(pair.a, VM);
  });
  beforeEach(async () => {
    await pair.bring(VM, pair.a);
    epoch = (await pair.a.client.showVm(VM)).epoch;
    await change(BUSY);
  });
  afterAll(async () => {
    await link?.[Symbol.asyncDispose]();
    await pair?.[Symbol.asyncDispose]();
  });

  furtherTest('in preparing, before the destination is ready', async () => {
    const migration = await beginMigration(pair.a, VM, { to: pair.b.host.migration });
    await migration.cancel();
    const { report } = await migration.ended;
    expect(report).toMatchObject({ outcome: 'cancelled', owner: 'a', error: { code: 'GW_MIGRATION_CANCELLED' } });
    expect(migration.phases).not.toContain('stopping');
    await atSourceAsBefore();
  });

  test('in preparing, while the destination does not answer', async () => {
    link.hold();
    try {
      const migration = await beginMigration(pair.a, VM, { to: link.address });
      await migration.reaches('preparing');
      const atMs = performance.now();
      await migration.cancel();
      const { report } = await migration.ended;
      expect(report).toMatchObject({ outcome: 'cancelled', owner: 'a', error: { code: 'GW_MIGRATION_CANCELLED' } });
      expect(performance.now() - atMs).toBeLessThan(3000);
    } finally {
      link.restore();
    }
    await atSourceAsBefore();
  });

  test.each(
    withFurther<{ mode: MigrationMode; limit: number }>(
      [
        { mode: 'pre-copy', limit: 4 * SLOW_BYTES_PER_SECOND },
        { mode: 'hybrid', limit: SLOW_BYTES_PER_SECOND },
      ],
      [{ mode: 'auto', limit: SLOW_BYTES_PER_SECOND }],
    ),
  )('in copying ($mode): the VM has its full speed back', async ({ mode, limit }) => {
    if (mode !== 'pre-copy') await change(CALM);
    using guest = await openTinyGuest(pair.a, VM);
    const speed = await measureWork(guest, WORK_SAMPLE_MS);
    const without = [...PACKING_STEPS];
    const request = { to: pair.b.host.migration, mode, bandwidthBytesPerSecond: limit, without };
    const migration = await beginMigration(pair.a, VM, request);
    if (mode === 'pre-copy') await migration.progresses('slowed', ({ throttlePercent }) => throttlePercent > 50);
    else await migration.progresses('some pages', ({ sentBytes }) => sentBytes > MIB);
    await migration.cancel();
    const { report } = await migration.ended;
    expect(report).toMatchObject({ outcome: 'cancelled', owner: 'a', downtimeMs: null });
    const { pages, wireBytes } = report!;
    expect(pages.sent).toBeGreaterThan(0);
    expect(pages.hole).toBeGreaterThan(0);
    expect(wireBytes).toBeGreaterThan(pages.sent * PAGE_SIZE);
    if (mode === 'pre-copy') expect(report!.throttle.maxPercent).toBeGreaterThan(50);
    await atSourceAsBefore();
    expect(await measureWork(guest, WORK_SAMPLE_MS)).toBeGreaterThan(speed * WORK_PART);
    expect(await readSettings(pair.a, VM)).toEqual(settings);
  });

  test.each(['pre-copy', 'post-copy'] as const)('in stopping (%s): the VM is resumed', async (mode) => {
    // Stopped after one pass with all pages written again, on a slow link: the last round takes seconds.
    link.shape(mode === 'pre-copy' ? SLOW_LINK : { bytesPerSecond: MIB / 16 });
    try {
      const migration = await beginMigration(pair.a, VM, { to: link.address, mode, maxDowntimeMs: 60_000 });
      await migration.reaches('stopping');
      await migration.cancel();
      const { report } = await migration.ended;
      expect(report).toMatchObject({ outcome: 'cancelled', owner: 'a', downtimeMs: null });
      expect(migration.phases).not.toContain('committed');
    } finally {
      link.shape({ bytesPerSecond: undefined });
    }
    await atSourceAsBefore();
    expect(await readSettings(pair.a, VM)).toEqual(settings);
  });

  test('in stopping, over a link that has gone silent: the VM does not wait for that', async () => {
    link.shape(SLOW_LINK);
    try {
      const migration = await beginMigration(pair.a, VM, { to: link.address, mode: 'pre-copy', maxDowntimeMs: 60_000 });
      await migration.reaches('stopping');
      link.hold();
      using guest = await openTinyGuest(pair.a, VM);
      const atMs = performance.now();
      await migration.cancel();
      await guest.pagesWritten(1);
      expect(performance.now() - atMs).toBeLessThan(SILENCE_COSTS_MS);
      expect((await migration.ended).report).toMatchObject({ outcome: 'cancelled', owner: 'a' });
    } finally {
      link.restore();
      link.shape({ bytesPerSecond: undefined });
    }
    await atSourceAsBefore();
  });

  furtherTest('while page channels are opened over a link that has gone silent', async () => {
    link.shape({ delayMs: 300 });
    try {
      const migration = await beginMigration(pair.a, VM, { to: link.address, mode: 'pre-copy' });
      await migration.reaches('copying');
      link.hold();
      const atMs = performance.now();
      await migration.cancel();
      expect((await migration.ended).report).toMatchObject({ outcome: 'cancelled', owner: 'a' });
      expect(performance.now() - atMs).toBeLessThan(SILENCE_COSTS_MS);
    } finally {
      link.restore();
      link.shape({ delayMs: 0 });
    }
    await atSourceAsBefore();
  });

  test('by Ctrl-C of `godwit migrate`: status 130', async () => {
    await change(CALM);
    const interrupt = new AbortController();
    const words = ['migrate', VM, '--to', pair.b.host.migration, '--bandwidth', '2MiB/s', '--json'];
    const command = runCli(words, { api: pair.a.host.api, signal: interrupt.signal });
    const id = await expect
      .poll(async () => (await pair.a.client.listMigrations()).find(({ phase }) => phase === 'copying')?.id, {
        timeout: 10_000,
      })
      .toBeDefined()
      .then(async () => (await pair.a.client.listMigrations()).find(({ phase }) => phase === 'copying')!.id);
    interrupt.abort();
    const { status, json } = await command;
    expect(status).toBe(130);
    expect(json).toMatchObject({ id, outcome: 'cancelled', owner: 'a' });
    await atSourceAsBefore();
  });

  furtherTest('from the destination: it asks the source, which decides', async () => {
    await change(CALM);
    const request = { to: pair.b.host.migration, bandwidthBytesPerSecond: SLOW_BYTES_PER_SECOND };
    const migration = await beginMigration(pair.a, VM, request);
    await migration.reaches('copying');
    await pair.b.client.cancelMigration(migration.id);
    const { report } = await migration.ended;
    expect(report).toMatchObject({ outcome: 'cancelled', owner: 'a', error: { code: 'GW_MIGRATION_CANCELLED' } });
    await atSourceAsBefore();
  });

  test('after the commit it is too late, and the migration completes', async () => {
    await change(CALM);
    // Three commands have their turn before the last page is there.
    link.shape({ bytesPerSecond: 3 * MIB });
    try {
      const migration = await beginMigration(pair.a, VM, { to: link.address, mode: 'post-copy', verify: true });
      await migration.reaches('serving');
      await expect(migration.cancel()).rejects.toSatisfy((error) => hasCode(error, 'GW_MIGRATION_TOO_LATE'));
      const refused = await pair.a.host.cli(['migration', 'cancel', migration.id, '--json']);
      expect(refused.status).toBe(3);
      expect(refused.stdout + refused.stderr).toContain('Too late to cancel');
      await expect(pair.b.client.cancelMigration(migration.id)).rejects.toSatisfy((error) =>
        hasCode(error, 'GW_MIGRATION_TOO_LATE'),
      );
      expect(completedReport(await migration.ended)).toMatchObject({ owner: 'b' });
    } finally {
      link.shape({ bytesPerSecond: undefined });
    }
    const { pid } = await isFree(pair.b, VM);
    expect(identifyProcess(pid!)).toBeDefined();
    await nothingRemains(pair.a, VM);
    await expect(pair.a.client.cancelMigration((await pair.a.client.listMigrations())[0]!.id)).rejects.toSatisfy(
      (error) => hasCode(error, 'GW_CONFLICT'),
    );
  });
});
