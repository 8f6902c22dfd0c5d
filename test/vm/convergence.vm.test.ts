/** A VM that changes memory faster than it can be sent: throttling, giving up, deadlines, limits that change. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest';
import { FIRST_USABLE_PAGE } from '../../guest/tiny/layout.ts';
import type { MigrateBody, ReportView } from '../../src/api/migration-schema.ts';
import { hasCode } from '../../src/base/errors.ts';
import { PACKING_STEPS } from '../../src/base/packing-step.ts';
import { PAGE_SIZE } from '../../src/base/page.ts';
import { requireCapability } from '../support/capability.ts';
import { furtherTest } from '../support/further-cases.ts';
import {
  beginMigration,
  completedReport,
  createTinyVm,
  HostPair,
  isFree,
  openTinyGuest,
  type WatchedMigration,
} from '../support/host-pair.ts';
import { runsIntact, worksIntact } from '../support/intact-vm.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { measureWork, noMarks, nothingRemains } from '../support/traces.ts';

checkLeaks();

const VM = 'writer';
const MIB = 2 ** 20;
/** 16 MiB that are written again and again. */
const WORKING_PAGES = 4096;
/** Every page has contents, also those that the guest has not come to yet. */
const FILL = { firstPage: FIRST_USABLE_PAGE, pageCount: WORKING_PAGES };
/** A whole pass takes half a second. */
const LIMIT_BYTES_PER_SECOND = 32 * MIB;
const LIMIT_PAGES_PER_SECOND = LIMIT_BYTES_PER_SECOND / PAGE_SIZE;
const MAX_DOWNTIME_MS = 100;
/** The machine is shared: a predicted downtime is a prediction. */
const DOWNTIME_TOLERANCE_MS = 150;

/** Of pages sent to pages written in the first round; below 5 a VM is slowed, and at this by 60 %. */
const UNSLOWED_RATIO = 2;
const WRITER_ATTEMPTS = 4;

type RoundView = ReportView['rounds'][number];

let pair: HostPair;

async function begin(request: Partial<MigrateBody>): Promise<WatchedMigration> {
  const limits = {
    bandwidthBytesPerSecond: LIMIT_BYTES_PER_SECOND,
    maxDowntimeMs: MAX_DOWNTIME_MS,
    // What the VM did in other tests is none of this one's.
    throttle: { historyPagesPerSecond: 0 },
    // One byte of a page is written, which would be nothing to send.
    without: [...PACKING_STEPS],
  };
  return await beginMigration(pair.a, VM, { to: pair.link.address, ...limits, ...request });
}

/** Makes the guest write about so many pages a second, whatever this machine can do now. */
async function writeAbout(pagesPerSecond: number, vm: string = VM): Promise<void> {
  using guest = await openTinyGuest(pair.a, vm);
  const trialDelay = 50_000;
  guest.change({ delay: trialDelay });
  // What the machine takes from it for a moment makes it no slower for long.
  const trial = Math.max(await measureWork(guest, 100), await measureWork(guest, 100), await measureWork(guest, 100));
  guest.change({ delay: Math.round((trialDelay * trial) / pagesPerSecond) });
}

/**
 * Moves the VM by pre-copy while it writes at twice the rate of the link. A machine that does not let the guest run
 * makes it converge by itself, and rightly so; whether it did is seen in the first round, and then it moves once more.
 */
async function moveWriter(): Promise<{ migration: WatchedMigration; report: ReportView }> {
  for (let attempt = 1; ; attempt++) {
    await pair.bring(VM, pair.a);
    await writeAbout(2 * LIMIT_PAGES_PER_SECOND);
    const migration = await begin({ mode: 'pre-copy' });
    const report = completedReport(await migration.ended);
    if (report.rounds[0]!.ratio < UNSLOWED_RATIO || attempt === WRITER_ATTEMPTS) return { migration, report };
  }
}

requireCapability('vm')('convergence', () => {
  beforeAll(async () => {
    // What its daemon sees between migrations is history as well.
    pair = await HostPair.open({ args: ['--sample-every', 'off'] });
    await createTinyVm(pair.a, {
      name: VM,
      guest: { firstPage: FIRST_USABLE_PAGE, pageCount: WORKING_PAGES, fill: FILL },
    });
  });
  beforeEach(async () => {
    await pair.bring(VM, pair.a);
    pair.link.shape({ bytesPerSecond: undefined });
  });
  afterAll(() => pair?.[Symbol.asyncDispose]());

  test('pre-copy slows a VM that writes at twice the rate of the link until it converges', async () => {
    const { report } = await moveWriter();
    const [first, ...later] = report.rounds as [RoundView, ...RoundView[]];
    expect(first.ratio).toBeLessThan(UNSLOWED_RATIO);
    expect(report.postCopy).toBeNull();
    expect(report.throttle.mechanism).not.toBe('none');
    expect(report.throttle.maxPercent).toBeGreaterThan(30);
    expect(report.rounds.map(({ rule }) => rule)).toContain('S3');
    expect(report.rounds.at(-1)!.rule).toMatch(/^V3-(threshold|fixed-costs)$/);
    expect(report.downtimeMs).toBeLessThan(MAX_DOWNTIME_MS + DOWNTIME_TOLERANCE_MS);
    expect(report.downtimeLimitMs).toBe(MAX_DOWNTIME_MS);
    // Not the last round: the shorter one is, the fewer of its writes are to pages that were written already.
    const slowed = later.filter(({ throttlePercent }) => throttlePercent > 0);
    const slowest = Math.min(...slowed.map(({ modificationPagesPerSecond }) => modificationPagesPerSecond));
    expect(slowest).toBeLessThan(first.modificationPagesPerSecond);
    await runsIntact(pair, VM, pair.b);
  });

  test('S4: below a minimum rate a VM is slowed by the shortfall, whatever it writes', async () => {
    await writeAbout(LIMIT_PAGES_PER_SECOND / 2);
    const minPagesPerSecond = 4 * LIMIT_PAGES_PER_SECOND;
    // Nothing else slows it.
    const throttle = { minRatio: 0, minPagesPerSecond, historyPagesPerSecond: 0 };
    const report = completedReport(await (await begin({ mode: 'pre-copy', throttle })).ended);
    const [first, second] = report.rounds as [RoundView, RoundView];
    expect([first.rule, first.throttlePercent]).toEqual(['S4', 0]);
    const shortfall = 1 - first.transmissionPagesPerSecond / minPagesPerSecond;
    expect(Math.abs(second.throttlePercent - 100 * shortfall)).toBeLessThan(3);
    expect(second.modificationPagesPerSecond).toBeLessThan(first.modificationPagesPerSecond);
    await runsIntact(pair, VM, pair.b);
  });

  test('S5: the history of a VM slows it before the first page of its next migration, and goes with it', async () => {
    const vm = 'remembered';
    await createTinyVm(pair.a, { name: vm, guest: { pageCount: WORKING_PAGES, fill: FILL } });
    onTestFinished(async () => {
      const { at } = await pair.locate(vm);
      await at.client.actOnVm(vm, 'kill');
      await at.client.removeVm(vm);
    });
    await writeAbout(LIMIT_PAGES_PER_SECOND / 2, vm);
    const historyPagesPerSecond = LIMIT_PAGES_PER_SECOND / 32;
    // A round that is over in no time, because next to nothing is sent of a page, tells the history nothing.
    const limits = { bandwidthBytesPerSecond: LIMIT_BYTES_PER_SECOND, without: [...PACKING_STEPS] };
    const request = { mode: 'pre-copy', ...limits } as const;
    const unslowed = { to: pair.b.host.migration, ...request, throttle: { enabled: false } };
    const first = await beginMigration(pair.a, vm, unslowed);
    await first.progresses('it has been measured', ({ round }) => round > 1);
    await first.cancel();
    const { report } = await first.ended;
    const peak = Math.max(...report!.rounds.map(({ modificationPagesPerSecond }) => modificationPagesPerSecond));
    expect(peak).toBeGreaterThan(2 * historyPagesPerSecond);

    const mindful = { ...request, throttle: { historyPagesPerSecond } };
    const [there] = completedReport(await pair.move(vm, mindful)).rounds as [RoundView];
    expect(Math.abs(there.throttlePercent - 100 * (1 - historyPagesPerSecond / peak))).toBeLessThan(1);
    expect(there.modificationPagesPerSecond).toBeLessThan(report!.rounds[0]!.modificationPagesPerSecond);
    const [back] = completedReport(await pair.move(vm, mindful)).rounds as [RoundView];
    expect(back.throttlePercent).toBeGreaterThan(50);

    const { pid } = await isFree(pair.a, vm);
    await noMarks(pid!);
    await worksIntact(pair.a, vm);
  });

  test('auto goes to post-copy where pre-copy would not converge', async () => {
    await writeAbout(4 * LIMIT_PAGES_PER_SECOND);
    const report = completedReport(await (await begin({ mode: 'auto' })).ended);
    expect(report.postCopy).not.toBeNull();
    expect(report.rounds.at(-1)!.rule).toMatch(/^S7-/);
    expect(report.throttle.maxPercent).toBeLessThanOrEqual(50);
    expect(report.downtimeMs).toBeLessThan(MAX_DOWNTIME_MS + DOWNTIME_TOLERANCE_MS);
    await runsIntact(pair, VM, pair.b);
  });

  furtherTest('auto stays with pre-copy for a VM that converges by itself', async () => {
    await writeAbout(LIMIT_PAGES_PER_SECOND / 40);
    const report = completedReport(await (await begin({ mode: 'auto' })).ended);
    expect(report.postCopy).toBeNull();
    expect(report.throttle.maxPercent).toBe(0);
    expect(report.rounds.at(-1)!.rule).toMatch(/^V3-/);
    await runsIntact(pair, VM, pair.b);
  });

  // A machine that does not let the guest run for half a second makes it converge, and rightly so: then once more.
  test('pre-copy without throttling gives up, and the VM stays', { retry: 2 }, async () => {
    await writeAbout(4 * LIMIT_PAGES_PER_SECOND);
    const request = { mode: 'pre-copy', throttle: { enabled: false } } as const;
    const migration = await begin({ to: pair.b.host.migration, maxDowntimeMs: 5, ...request });
    const { report } = await migration.ended;
    expect(report).toMatchObject({ outcome: 'failed', owner: 'a', error: { code: 'GW_MIGRATION_NO_CONVERGENCE' } });
    expect(report!.rounds.length).toBeGreaterThanOrEqual(2);
    expect(report!.rounds.at(-1)!.rule).toBe('V3-hopeless');
    expect(report!.error!.message).toContain('with throttling switched off');
    // Seen long before it is given up.
    const stalled = migration.progress.find(({ verdict }) => verdict.kind === 'stalled');
    expect(stalled!.round).toBeLessThan(report!.rounds.length);
    expect(report!.throttle).toMatchObject({ maxPercent: 0, activeMs: 0 });
    expect(await isFree(pair.a, VM)).toMatchObject({ state: 'running' });
    await nothingRemains(pair.b, VM);
  });

  test('--timeout with --on-timeout cancel: the VM stays, in time', async () => {
    await writeAbout(4 * LIMIT_PAGES_PER_SECOND);
    // One pass alone would take four seconds.
    const words = ['migrate', VM, '--to', pair.link.address, '--mode', 'pre-copy', '--bandwidth', '4MiB/s'];
    const limits = [
      '--no-throttle',
      '--timeout',
      '1500ms',
      '--on-timeout',
      'cancel',
      '--without',
      PACKING_STEPS.join(','),
      '--json',
    ];
    const { status, json } = await pair.a.host.cli([...words, ...limits]);
    expect(status).toBe(1);
    expect(json).toMatchObject({ outcome: 'failed', owner: 'a', error: { code: 'GW_MIGRATION_TIMEOUT' } });
    expect(json.totalMs).toBeGreaterThan(1400);
    expect(json.totalMs).toBeLessThan(3000);
    expect(await isFree(pair.a, VM)).toMatchObject({ state: 'running' });
    await nothingRemains(pair.b, VM);
  });

  test('--on-timeout pause: the VM moves in time, in the middle of a round', async () => {
    await writeAbout(LIMIT_PAGES_PER_SECOND / 10);
    const request = { mode: 'pre-copy', throttle: { enabled: false }, timeoutMs: 3000, onTimeout: 'pause' } as const;
    const report = completedReport(await (await begin({ ...request, bandwidthBytesPerSecond: MIB })).ended);
    expect(report.rounds.at(-1)!.rule).toBe('deadline');
    expect(report.postCopy).toBeNull();
    // The first pass alone would have taken 16 seconds.
    expect(report.totalMs).toBeLessThan(10_000);
    await runsIntact(pair, VM, pair.b);
  });

  furtherTest('--on-timeout post-copy: what is left follows after the VM', async () => {
    await writeAbout(LIMIT_PAGES_PER_SECOND);
    pair.link.shape({ bytesPerSecond: 8 * MIB });
    // A hybrid's pass would take two seconds and what it leaves two more.
    const request = { mode: 'hybrid', timeoutMs: 1000, onTimeout: 'post-copy', bandwidthBytesPerSecond: 0 } as const;
    const migration = await begin(request);
    const report = completedReport(await migration.ended);
    expect(report.postCopy!.missingPages).toBeGreaterThan(0);
    await runsIntact(pair, VM, pair.b);
  });

  furtherTest('switch-postcopy takes effect in the middle of a round', async () => {
    await writeAbout(100);
    const migration = await begin({ mode: 'auto', bandwidthBytesPerSecond: MIB });
    await migration.progresses('it has begun to send', ({ sentBytes }) => sentBytes > MIB / 2);
    const atMs = performance.now();
    await pair.a.host.json(['migration', 'switch-postcopy', migration.id]);
    await migration.reaches('serving');
    // The first pass alone would have taken 16 s.
    expect(performance.now() - atMs).toBeLessThan(4000);
    await pair.a.client.tuneMigration(migration.id, { bandwidthBytesPerSecond: 0 });
    const report = completedReport(await migration.ended);
    expect(report.postCopy!.missingPages).toBeGreaterThan(WORKING_PAGES / 2);
    // What the round did not come to was not written: it must not be taken for a rate, here or in the VM's history.
    expect(report.rounds.at(-1)).toMatchObject({ rule: 'asked' });
    expect(report.rounds.at(-1)!.modificationPagesPerSecond).toBeLessThan(1000);
    await runsIntact(pair, VM, pair.b);
  });

  test('switch-postcopy is refused to a migration that must not', async () => {
    await writeAbout(100);
    const migration = await begin({ mode: 'pre-copy', bandwidthBytesPerSecond: 4 * MIB });
    await migration.reaches('copying');
    const conflict = (error: unknown): boolean => hasCode(error, 'GW_CONFLICT');
    await expect(pair.a.client.switchToPostCopy(migration.id)).rejects.toSatisfy(conflict);
    await migration.cancel();
    await migration.ended;
  });

  furtherTest('a bandwidth limit is kept within a tenth, and a new one at once', async () => {
    await writeAbout(100);
    const migration = await begin({ mode: 'pre-copy', bandwidthBytesPerSecond: 4 * MIB });
    await migration.reaches('copying');
    await pair.link.carries(MIB / 2, 'up');
    const rateOver = async (ms: number): Promise<number> => {
      const from = { bytes: pair.link.bytes.up, atMs: performance.now() };
      await delay(ms);
      return ((pair.link.bytes.up - from.bytes) * 1000) / (performance.now() - from.atMs);
    };
    const slow = await rateOver(1000);
    expect(slow).toBeGreaterThan(4 * MIB * 0.8);
    expect(slow).toBeLessThan(4 * MIB * 1.1);
    await pair.a.host.json(['migration', 'tune', migration.id, '--bandwidth', '8MiB/s']);
    const faster = await rateOver(500);
    expect(faster).toBeGreaterThan(8 * MIB * 0.7);
    expect(faster).toBeLessThan(8 * MIB * 1.1);
    expect((await pair.a.client.showMigration(migration.id)).options).toMatchObject({
      bandwidthBytesPerSecond: 8 * MIB,
    });
    await pair.a.client.tuneMigration(migration.id, { bandwidthBytesPerSecond: 0 });
    completedReport(await migration.ended);
    await runsIntact(pair, VM, pair.b);
  });

  furtherTest('a higher downtime limit lets a migration finish that would go on', async () => {
    await writeAbout(4 * LIMIT_PAGES_PER_SECOND);
    const migration = await begin({ mode: 'pre-copy', throttle: { enabled: false } });
    await migration.progresses('some rounds', ({ round }) => round > 3);
    await pair.a.host.json(['migration', 'tune', migration.id, '--max-downtime', '5s']);
    const report = completedReport(await migration.ended);
    expect(report.rounds.at(-1)!.rule).toBe('V3-threshold');
    expect(report.downtimeLimitMs).toBe(5000);
    await runsIntact(pair, VM, pair.b);
  });

  test('a time limit that is set while it runs ends it, and the VM runs on where it is', async () => {
    await writeAbout(4 * LIMIT_PAGES_PER_SECOND);
    const migration = await begin({ mode: 'pre-copy', throttle: { enabled: false } });
    await migration.progresses('some rounds', ({ round }) => round > 2);
    await pair.a.host.json(['migration', 'tune', migration.id, '--timeout', '1ms', '--on-timeout', 'cancel']);
    const { report, options } = await migration.ended;
    expect([report?.outcome, report?.error?.code]).toEqual(['failed', 'GW_MIGRATION_TIMEOUT']);
    expect(options).toMatchObject({ timeoutMs: 1, onTimeout: 'cancel' });
    await runsIntact(pair, VM, pair.a);
  });

  test('progress never goes back, ends at 100, and the verdict says why', async () => {
    const { migration } = await moveWriter();
    const percents = migration.progress.map(({ percent }) => percent);
    expect(percents).toEqual(percents.toSorted((a, b) => a - b));
    expect(percents.at(-1)).toBe(100);
    const verdicts = new Set(migration.progress.map(({ verdict }) => verdict.kind));
    expect(verdicts).toContain('finishing');
    // Slowed as much as it may be, and not enough yet, it is stalled.
    expect(verdicts.has('throttling') || verdicts.has('stalled')).toBe(true);
    expect([...new Set(migration.phases)]).toEqual(['preparing', 'copying', 'stopping', 'committed', 'released']);
  });
});
