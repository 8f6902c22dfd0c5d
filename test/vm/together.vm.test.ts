/** VMs that leave one host for another together: what those of one image have in common crosses the link once, and arrives whole; those that are held switch over at one moment. */
import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FIRST_USABLE_PAGE } from '../../guest/tiny/layout.ts';
import type { ReportView } from '../../src/api/migration-schema.ts';
import type { PackingStep } from '../../src/base/packing-step.ts';
import { PAGE_SIZE } from '../../src/base/page.ts';
import type { MigrationMode } from '../../src/migration/request.ts';
import { requireCapability } from '../support/capability.ts';
import { furtherTest, withFurther } from '../support/further-cases.ts';
import {
  beginMigration,
  completedReport,
  createTinyVm,
  HostPair,
  isFree,
  openTinyGuest,
} from '../support/host-pair.ts';
import { runsIntact, worksIntact } from '../support/intact-vm.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { TempDirectory } from '../support/temp-directory.ts';
import { BUSY, CALM } from '../support/tiny-vm.ts';

checkLeaks();

const MIB = 2 ** 20;
/** 2 MiB that each VM writes of, and 32 MiB that are the same in all of them. */
const WORKING_PAGES = 512;
const FILL_PAGES = 8192;
const FILL_FIRST = FIRST_USABLE_PAGE + WORKING_PAGES;
const LINK_BYTES_PER_SECOND = 20 * MIB;

let pair: HostPair;
const directory = new TempDirectory();

/** @param randomWords - makes another image of it */
async function create(names: readonly string[], randomWords: number): Promise<void> {
  const fill = { firstPage: FILL_FIRST, pageCount: FILL_PAGES, randomWords };
  const guest = { firstPage: FIRST_USABLE_PAGE, pageCount: WORKING_PAGES, ...CALM, fill };
  for (const name of names) await createTinyVm(pair.a, { name, guest });
}

interface Moved {
  readonly reports: readonly ReportView[];
  /** Of all. */
  readonly bytes: number;
}

/** At the same moment. Without compression, whose share depends on what else the machine does. */
async function move(vms: readonly string[], without: readonly PackingStep[] = ['compress']): Promise<Moved> {
  const before = pair.link.bytes.up;
  const request = { to: pair.link.address, mode: 'auto', maxDowntimeMs: 1000, verify: true } as const;
  const begun = await Promise.all(vms.map((vm) => beginMigration(pair.a, vm, { ...request, without: [...without] })));
  const reports = (await Promise.all(begun.map(({ ended }) => ended))).map(completedReport);
  for (const { verify } of reports) expect(verify).toMatchObject({ equal: true });
  return { reports, bytes: pair.link.bytes.up - before };
}

const sum = ({ reports }: Moved, count: 'duplicatePages' | 'missedReferences') =>
  reports.reduce((total, { packing }) => total + packing![count], 0);

/** One that runs is enough: the CPUs of the machine are for the migrations. */
async function pauseOthers([, ...others]: readonly string[]): Promise<void> {
  for (const vm of others) await pair.a.client.actOnVm(vm, 'pause');
}

async function areWhole(vms: readonly string[]): Promise<void> {
  for (const vm of vms.slice(1)) await pair.b.client.actOnVm(vm, 'resume');
  for (const vm of vms) await runsIntact(pair, vm, pair.b);
  for (const vm of vms) await remove(vm);
}

async function remove(vm: string): Promise<void> {
  await pair.b.client.actOnVm(vm, 'kill');
  await pair.b.client.removeVm(vm);
}

requireCapability('vm')('VMs of one image', () => {
  beforeAll(async () => {
    writeFileSync(directory.join('key'), 'a secret of two hosts of this test\n');
    pair = await HostPair.open({ args: ['--fleet-key-file', directory.join('key')] });
    pair.link.shape({ bytesPerSecond: LINK_BYTES_PER_SECOND });
  });
  afterAll(async () => {
    await pair?.[Symbol.asyncDispose]();
    directory[Symbol.dispose]();
  });

  test.for(withFurther([[2, 500, 1.25]], [[4, 480, 1.5]]))('%i at the same time take hardly more than one', {
    timeout: 120_000,
  }, async ([count, randomWords, most]) => {
    const vms = Array.from({ length: count! }, (_, i) => `of-${count}-${i}`);
    const single = `single-${count}`;
    await create([single, ...vms], randomWords!);
    const alone = await move([single], ['compress', 'duplicates']);
    await remove(single);
    await pauseOthers(vms);
    const all = await move(vms);
    expect(alone.bytes).toBeGreaterThan(FILL_PAGES * PAGE_SIZE);
    expect(all.bytes).toBeLessThan(alone.bytes * most!);
    expect(sum(all, 'duplicatePages')).toBeGreaterThan((count! - 1) * FILL_PAGES * 0.8);
    await areWhole(vms);
  });

  test('one right after another takes hardly anything', { timeout: 120_000 }, async () => {
    const vms = ['earlier', 'later'];
    await create(vms, 460);
    await pauseOthers(vms);
    const first = await move(['earlier']);
    const second = await move(['later']);
    expect(second.bytes).toBeLessThan(first.bytes * 0.15);
    await areWhole(vms);
  });

  furtherTest('what has changed at the destination since is sent after all', { timeout: 120_000 }, async () => {
    const vms = ['changing', 'late'];
    await create(vms, 440);
    await pauseOthers(vms);
    const first = await move(['changing']);
    await isFree(pair.b, 'changing');
    {
      using guest = await openTinyGuest(pair.b, 'changing');
      await guest.restart({ firstPage: FILL_FIRST, pageCount: FILL_PAGES, writeMode: 'random', ...BUSY });
      await guest.pagesWritten(2 * FILL_PAGES);
    }
    const second = await move(['late']);
    expect(sum(second, 'missedReferences')).toBeGreaterThan(FILL_PAGES * 0.9);
    expect(second.bytes).toBeGreaterThan(first.bytes * 0.9);
    await pair.b.client.actOnVm('late', 'resume');
    await worksIntact(pair.b, 'late');
    for (const vm of vms) await remove(vm);
  });
});

const TOGETHER_MS = 3000;
/** Another try has VMs of its own. */
let tries = 0;

requireCapability('vm')('VMs that are held until all are ready', () => {
  beforeAll(async () => {
    pair = await HostPair.open();
    pair.link.shape({ bytesPerSecond: LINK_BYTES_PER_SECOND });
  });
  afterAll(async () => pair?.[Symbol.asyncDispose]());

  test.for(
    withFurther<MigrationMode>(['auto'], ['pre-copy', 'hybrid', 'post-copy']),
  )('%s: a small one and a large one go at one moment', {
    timeout: 90_000,
  }, async (mode) => {
    const fills = { small: undefined, large: { firstPage: FILL_FIRST, pageCount: FILL_PAGES, randomWords: 512 } };
    const tried = ++tries;
    for (const [name, fill] of Object.entries(fills)) {
      const guest = { firstPage: FIRST_USABLE_PAGE, pageCount: WORKING_PAGES, ...CALM, ...(fill ? { fill } : {}) };
      await createTinyVm(pair.a, { name: `${name}-${mode}-${tried}`, guest });
    }
    const vms = Object.keys(fills).map((name) => `${name}-${mode}-${tried}`);
    const hold = { atMostMs: 60_000 };
    const request = { to: pair.link.address, mode, maxDowntimeMs: 300, hold };
    const begun = await Promise.all(vms.map((vm) => beginMigration(pair.a, vm, request)));
    const at = async (happens: Promise<unknown>): Promise<number> => {
      await happens;
      return performance.now();
    };
    const ready = await Promise.all(
      begun.map((each) => at(each.progresses('ready', ({ isReady }) => isReady, 40_000))),
    );
    const committed = begun.map((each) => at(each.reaches('committed')));
    // Neither has gone on by itself: the first of them would have gone this long ago.
    for (const { phases } of begun) expect(phases).not.toContain('stopping');
    await pair.a.client.letMigrationsGo(begun.map(({ id }) => id));
    const [small, large] = await Promise.all(committed);
    // Together as far as a busy host can: each has its own switchover to go through, post-copy its threads to start. That none went
    // before the others were ready is said above.
    const apartMs = ready[1]! - ready[0]!;
    expect(Math.abs(large! - small!)).toBeLessThan(TOGETHER_MS);
    // Pure post-copy is ready at once.
    if (mode !== 'post-copy') expect(apartMs).toBeGreaterThan(750);
    for (const { ended } of begun) completedReport(await ended);
    // Once more does no harm.
    expect(await pair.a.client.letMigrationsGo([begun[0]!.id])).toMatchObject([{ state: 'completed' }]);
    for (const vm of vms) await runsIntact(pair, vm, pair.b);
    for (const vm of vms) await remove(vm);
  });
});
