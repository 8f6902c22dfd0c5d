/** `--finish-by` (G7) and predictions (G5) with a VM that never converges. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { FIRST_USABLE_PAGE } from '../../guest/tiny/layout.ts';
import type { MigrateBody, ReportView } from '../../src/api/migration-schema.ts';
import { hasCode } from '../../src/base/errors.ts';
import { PACKING_STEPS } from '../../src/base/packing-step.ts';
import { PAGE_SIZE } from '../../src/base/page.ts';
import { requireCapability } from '../support/capability.ts';
import { withFurther } from '../support/further-cases.ts';
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
import { measureWork } from '../support/traces.ts';

checkLeaks();

const VM = 'hurried';
const MIB = 2 ** 20;
/** 16 MiB, all of them written again and again. */
const WORKING_PAGES = 4096;
/** A whole pass takes half a second, and so does pushing all by post-copy. */
const LINK_BYTES_PER_SECOND = 32 * MIB;
const LINK_PAGES_PER_SECOND = LINK_BYTES_PER_SECOND / PAGE_SIZE;
/** The switch, the release, what is kept back, less what they then take. */
const MAX_KEPT_MS = 1500;
/** Rounds of less say nothing of the link. */
const RATE_BYTES = MIB;

let pair: HostPair;

/** Twice what pushing everything takes on the link as it was at its slowest: the machine is shared. */
function maxLeftMs({ rounds }: ReportView): number {
  const rates = rounds.filter(({ bytes }) => bytes >= RATE_BYTES).map(({ bytes, ms }) => (bytes * 1000) / ms);
  return (2 * WORKING_PAGES * PAGE_SIZE * 1000) / Math.min(LINK_BYTES_PER_SECOND, ...rates) + MAX_KEPT_MS;
}

function begin(request: Partial<MigrateBody>): Promise<WatchedMigration> {
  // One byte of a page is written, which would be nothing to send.
  const limits = { maxDowntimeMs: 20, throttle: { historyPagesPerSecond: 0 }, without: [...PACKING_STEPS] };
  return beginMigration(pair.a, VM, { to: pair.link.address, ...limits, ...request });
}

requireCapability('vm')('--finish-by', () => {
  beforeAll(async () => {
    pair = await HostPair.open();
    const fill = { firstPage: FIRST_USABLE_PAGE, pageCount: WORKING_PAGES };
    await createTinyVm(pair.a, { name: VM, guest: { firstPage: FIRST_USABLE_PAGE, pageCount: WORKING_PAGES, fill } });
    using guest = await openTinyGuest(pair.a, VM);
    const trialDelay = 50_000;
    guest.change({ delay: trialDelay });
    const trial = await measureWork(guest, 200);
    guest.change({ delay: Math.round((trialDelay * trial) / (4 * LINK_PAGES_PER_SECOND)) });
  });
  beforeEach(async () => {
    pair.link.shape({ bytesPerSecond: undefined });
    await pair.bring(VM, pair.a);
    pair.link.shape({ bytesPerSecond: LINK_BYTES_PER_SECOND });
  });
  afterAll(() => pair?.[Symbol.asyncDispose]());

  test.each(
    withFurther([6_500], [8_000, 5_000, 3_500]),
  )('%i ms are kept, and post-copy begins no earlier than it has to', async (finishByMs) => {
    const report = completedReport(await (await begin({ mode: 'auto', finishByMs })).ended);
    expect(report.finishByMs).toBe(finishByMs);
    expect(report.totalMs).toBeLessThanOrEqual(finishByMs);
    expect(finishByMs - report.totalMs).toBeLessThan(maxLeftMs(report));
    expect(report.rounds.at(-1)!.rule).toBe('G7-finish-by');
    expect(report.postCopy!.missingPages).toBeGreaterThan(0);
    const [first] = report.prediction!.made;
    expect(first!.moment).toBe('start');
    expect(first!.errorPercent!.totalMs).not.toBeNull();
    await runsIntact(pair, VM, pair.b);
  });

  test('is changed while the migration runs', async () => {
    const migration = await begin({ mode: 'auto', finishByMs: 120_000 });
    const { prediction } = await migration.progresses('waiting', ({ verdict }) => verdict.text.includes('--finish-by'));
    expect(prediction!.totalMs.expected).toBeGreaterThan(60_000);
    const { startedAtMs } = await pair.a.client.showMigration(migration.id);
    const finishByMs = Date.now() - startedAtMs + 4_000;
    await pair.a.host.json(['migration', 'tune', migration.id, '--finish-by', `${finishByMs}ms`]);
    const report = completedReport(await migration.ended);
    expect(report.totalMs).toBeLessThanOrEqual(finishByMs);
    expect(finishByMs - report.totalMs).toBeLessThan(maxLeftMs(report));
    await runsIntact(pair, VM, pair.b);
  });

  test('that cannot be met begins post-copy at once, and is told', async () => {
    const migration = await begin({ mode: 'auto', finishByMs: 100 });
    const report = completedReport(await migration.ended);
    expect(report.postCopy).not.toBeNull();
    expect(report.totalMs).toBeGreaterThan(100);
    const texts = migration.progress.map(({ verdict }) => verdict.text);
    expect(texts.join('\n')).toMatch(/--finish-by 100/);
    expect(migration.notes.join('\n')).toMatch(
      /Switching to post-copy.*--finish-by 100[\s\S]*longer than --finish-by 100 ms/,
    );
    await runsIntact(pair, VM, pair.b);
  });

  test('is refused to pre-copy, before and while it runs', async () => {
    const words = ['migrate', VM, '--to', pair.link.address, '--mode', 'pre-copy', '--finish-by', '30s', '--json'];
    const refused = await pair.a.host.cli(words);
    expect(refused).toMatchObject({
      status: 2,
      json: { error: { code: 'GW_INPUT_INVALID', details: { field: '--finish-by' } } },
    });
    const migration = await begin({ mode: 'pre-copy' });
    await migration.reaches('copying');
    const conflict = (error: unknown): boolean => hasCode(error, 'GW_CONFLICT');
    await expect(pair.a.client.tuneMigration(migration.id, { finishByMs: 5_000 })).rejects.toSatisfy(conflict);
    await migration.cancel();
    await migration.ended;
  });
});
