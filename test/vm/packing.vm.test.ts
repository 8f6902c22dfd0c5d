/** Pages in fewer bytes than they have, on a link that is slow enough for that to pay, and whole all the same. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { FIRST_USABLE_PAGE } from '../../guest/tiny/layout.ts';
import type { MigrateBody, ReportView } from '../../src/api/migration-schema.ts';
import { PACKING_STEPS } from '../../src/base/packing-step.ts';
import { PAGE_SIZE } from '../../src/base/page.ts';
import { requireCapability } from '../support/capability.ts';
import { furtherTest } from '../support/further-cases.ts';
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
/** Raw, the first pass takes four seconds: packing pays on a busy machine, too. */
const LINK_BYTES_PER_SECOND = 8 * MIB;
/** What a pacer lets through beyond its limit at once. */
const BURST_BYTES = 64 * 1024;
const WRITES_PER_SECOND = 1000;

type RoundView = ReportView['rounds'][number];

let pair: HostPair;

/** Makes the guest write about so many pages a second, whatever this machine can do now. */
async function writeAbout(pagesPerSecond: number): Promise<void> {
  using guest = await openTinyGuest(pair.a, VM);
  const trialDelay = 50_000;
  guest.change({ delay: trialDelay });
  await delay(50);
  const trial = await measureWork(guest, 200);
  guest.change({ delay: Math.round((trialDelay * trial) / pagesPerSecond) });
}

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
  });
  beforeEach(async () => {
    await pair.bring(VM, pair.a);
    await writeAbout(WRITES_PER_SECOND);
    pair.link.shape({ bytesPerSecond: LINK_BYTES_PER_SECOND });
  });
  afterAll(() => pair?.[Symbol.asyncDispose]());

  test('pre-copy compresses what it sends, and of pages that are sent again only what has changed', async () => {
    const report = await move({ mode: 'pre-copy' });
    const { deltaPages, deltaSavedBytes, compressedFromBytes, compressedToBytes } = report.packing!;
    // The rest goes raw where that is faster: first, to see what the link takes, and while the machine is busy.
    expect(compressedFromBytes).toBeGreaterThan(FILL.pageCount * PAGE_SIZE * 0.25);
    expect(compressedToBytes).toBeLessThan(compressedFromBytes * 0.9);
    expect(deltaPages).toBeGreaterThan(0);
    expect(deltaSavedBytes / deltaPages).toBeGreaterThan(PAGE_SIZE * 0.9);
    expect(report.wireBytes).toBeLessThan(report.pages.sent * PAGE_SIZE * 0.9);
  });

  furtherTest('post-copy compresses what it pushes', async () => {
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
    pair.link.shape({ bytesPerSecond: undefined });
    const report = await move({ mode: 'pre-copy', without: [...PACKING_STEPS] });
    expect(report.packing).toMatchObject({ unchangedPages: 0, deltaPages: 0, compressedFromBytes: 0 });
    expect(report.wireBytes).toBeGreaterThan(report.pages.sent * PAGE_SIZE);
  });

  // A machine that is so busy that nothing is packed in time keeps the limit by sending less than it allows: then once
  // more. That only what is sent counts is shown without a clock in paced-sending.kernel.test.ts.
  test('a bandwidth limit is of what is sent, not of what it was before', { retry: 2 }, async () => {
    pair.link.shape({ bytesPerSecond: undefined });
    // Pages that are written again before their turn would make the round too short to tell.
    await writeAbout(WRITES_PER_SECOND / 10);
    const bandwidthBytesPerSecond = LINK_BYTES_PER_SECOND;
    const report = await move({ mode: 'pre-copy', bandwidthBytesPerSecond });
    const [first] = report.rounds as [RoundView];
    const allowedBytes = (bandwidthBytesPerSecond * first.ms) / 1000;
    expect(first.bytes).toBeLessThan(allowedBytes + BURST_BYTES);
    expect(first.pages * PAGE_SIZE).toBeGreaterThan((allowedBytes + BURST_BYTES) * 1.1);
  });
});
