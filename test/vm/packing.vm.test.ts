/** Pages in fewer bytes than they have, on a link that is slow enough for that to pay, and whole all the same. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { FIRST_USABLE_PAGE } from '../../guest/tiny/layout.ts';
import type { MigrateBody, ReportView } from '../../src/api/migration-schema.ts';
import { PACKING_STEPS } from '../../src/base/packing-step.ts';
import { PAGE_SIZE } from '../../src/base/page.ts';
import { requireCapability } from '../support/capability.ts';
import { beginMigration, completedReport, createTinyVm, HostPair, openTinyGuest } from '../support/host-pair.ts';
import { runsIntact } from '../support/intact-vm.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { measureWork } from '../support/traces.ts';

checkLeaks();

const VM = 'packed';
const MIB = 2 ** 20;
/** 32 MiB that one byte of each page is written of, again and again. */
const WORKING_PAGES = 8192;
const FILL = { firstPage: FIRST_USABLE_PAGE, pageCount: WORKING_PAGES };
/** Raw, the first pass takes a second. */
const LINK_BYTES_PER_SECOND = 32 * MIB;
const WRITES_PER_SECOND = 4000;

let pair: HostPair;

async function move(request: Partial<MigrateBody>): Promise<ReportView> {
  const throttle = { enabled: false };
  const migration = await beginMigration(pair.a, VM, { to: pair.link.address, verify: true, throttle, ...request });
  const report = completedReport(await migration.ended);
  expect(report.verify).toMatchObject({ equal: true });
  await runsIntact(pair, VM, pair.b);
  return report;
}

requireCapability('vm')('packing', () => {
  beforeAll(async () => {
    pair = await HostPair.open();
    await createTinyVm(pair.a, {
      name: VM,
      guest: { firstPage: FIRST_USABLE_PAGE, pageCount: WORKING_PAGES, fill: FILL },
    });
    using guest = await openTinyGuest(pair.a, VM);
    const trialDelay = 50_000;
    guest.change({ delay: trialDelay });
    await delay(50);
    const trial = await measureWork(guest, 200);
    guest.change({ delay: Math.round((trialDelay * trial) / WRITES_PER_SECOND) });
  });
  beforeEach(async () => {
    await pair.bring(VM, pair.a);
    pair.link.shape({ bytesPerSecond: LINK_BYTES_PER_SECOND });
  });
  afterAll(() => pair?.[Symbol.asyncDispose]());

  test('pre-copy compresses what it sends, and of pages that are sent again only what has changed', async () => {
    const report = await move({ mode: 'pre-copy' });
    const { unchangedPages, deltaPages, deltaSavedBytes, compressedFromBytes, compressedToBytes } = report.packing!;
    expect(compressedFromBytes).toBeGreaterThan(FILL.pageCount * PAGE_SIZE * 0.5);
    expect(compressedToBytes).toBeLessThan(compressedFromBytes * 0.9);
    expect(deltaPages + unchangedPages).toBeGreaterThan(0);
    if (deltaPages > 0) expect(deltaSavedBytes / deltaPages).toBeGreaterThan(PAGE_SIZE * 0.9);
    expect(report.wireBytes).toBeLessThan(report.pages.sent * PAGE_SIZE * 0.9);
  });

  test('post-copy compresses what it pushes', async () => {
    const report = await move({ mode: 'post-copy' });
    expect(report.packing!.compressedFromBytes).toBeGreaterThan(0);
    expect(report.postCopy!.missingPages).toBeGreaterThan(0);
    expect(report.wireBytes).toBeLessThan(report.pages.sent * PAGE_SIZE * 0.95);
  });

  test('hybrid compresses what it pushes after it has copied', async () => {
    const request = { mode: 'hybrid', verify: true, throttle: { enabled: false } } as const;
    const migration = await beginMigration(pair.a, VM, { to: pair.link.address, ...request });
    await migration.progresses('it has begun to copy', ({ sentBytes }) => sentBytes > MIB);
    await pair.a.client.switchToPostCopy(migration.id);
    await migration.reaches('serving');
    const upBefore = pair.link.bytes.up;
    const report = completedReport(await migration.ended);
    expect(report.verify).toMatchObject({ equal: true });
    const { missingPages } = report.postCopy!;
    expect(missingPages).toBeGreaterThan(WORKING_PAGES / 4);
    expect(pair.link.bytes.up - upBefore).toBeLessThan(missingPages * PAGE_SIZE * 0.95);
    await runsIntact(pair, VM, pair.b);
  });

  test('what is left out is not done', async () => {
    const report = await move({ mode: 'pre-copy', without: [...PACKING_STEPS] });
    expect(report.packing).toMatchObject({ unchangedPages: 0, deltaPages: 0, compressedFromBytes: 0 });
    expect(report.wireBytes).toBeGreaterThan(report.pages.sent * PAGE_SIZE);
  });

  test('a bandwidth limit is of what is sent, not of what it was before', async () => {
    pair.link.shape({ bytesPerSecond: undefined });
    const limited = await move({ mode: 'pre-copy', bandwidthBytesPerSecond: LINK_BYTES_PER_SECOND });
    expect(limited.packing!.compressedFromBytes).toBeGreaterThan(0);
    const first = limited.rounds[0]!;
    expect(first.pages * PAGE_SIZE).toBeGreaterThan((LINK_BYTES_PER_SECOND * first.ms) / 1000);
  });
});
