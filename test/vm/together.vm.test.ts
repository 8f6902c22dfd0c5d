/** VMs of one image that move at the same time: what they have in common crosses the link once, and arrives whole. */
import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FIRST_USABLE_PAGE } from '../../guest/tiny/layout.ts';
import type { ReportView } from '../../src/api/migration-schema.ts';
import { PAGE_SIZE } from '../../src/base/page.ts';
import { requireCapability } from '../support/capability.ts';
import { beginMigration, completedReport, createTinyVm, HostPair } from '../support/host-pair.ts';
import { runsIntact } from '../support/intact-vm.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { TempDirectory } from '../support/temp-directory.ts';

checkLeaks();

const MIB = 2 ** 20;
/** 4 MiB that each VM writes of, and 32 MiB that are the same in all of them. */
const WORKING_PAGES = 1024;
const FILL = { firstPage: FIRST_USABLE_PAGE + WORKING_PAGES, pageCount: 8192 };
const LINK_BYTES_PER_SECOND = 20 * MIB;

let pair: HostPair;
const directory = new TempDirectory();

async function create(name: string): Promise<void> {
  const guest = { firstPage: FIRST_USABLE_PAGE, pageCount: WORKING_PAGES, delay: 100_000, fill: FILL };
  await createTinyVm(pair.a, { name, guest });
}

/** At the same moment. Returns the reports, and the bytes of all. */
async function move(vms: readonly string[], without: ['duplicates'] | [] = []) {
  const before = pair.link.bytes.up;
  const begun = vms.map((vm) =>
    beginMigration(pair.a, vm, { to: pair.link.address, mode: 'pre-copy', verify: true, without }),
  );
  const ended = await Promise.all((await Promise.all(begun)).map((migration) => migration.ended));
  const reports = ended.map((view) => completedReport(view));
  for (const report of reports) expect(report.verify).toMatchObject({ equal: true });
  return { reports, bytes: pair.link.bytes.up - before };
}

const summary = ({ reports, bytes }: { reports: ReportView[]; bytes: number }) => ({
  bytes,
  packing: reports.map((r) => [
    r.packing!.duplicatePages,
    r.packing!.missedReferences,
    r.pages.sent,
    r.totalMs,
    JSON.stringify(r.rounds.map(({ ms, bytes, pages, rule }) => [Math.round(ms), bytes, pages, rule])),
    r.packing!.compareMs,
    r.packing!.compressMs,
    r.wireBytes,
  ]),
});

requireCapability('vm')('VMs that move at the same time', () => {
  beforeAll(async () => {
    writeFileSync(directory.join('key'), 'a secret of two hosts of this test\n');
    pair = await HostPair.open({ args: ['--fleet-key-file', directory.join('key')] });
    pair.link.shape({ bytesPerSecond: LINK_BYTES_PER_SECOND });
  });
  afterAll(async () => {
    await pair?.[Symbol.asyncDispose]();
    directory[Symbol.dispose]();
  });

  test.for([2, 4])('%i', { timeout: 120_000 }, async (count) => {
    const vms = Array.from({ length: count }, (_, i) => `vm${count}-${i}`);
    for (const vm of [...vms, `alone${count}`]) await create(vm);
    const alone = await move([`alone${count}`], ['duplicates']);
    await pair.b.client.actOnVm(`alone${count}`, 'kill');
    for (const vm of vms.slice(1)) await pair.a.client.actOnVm(vm, 'pause');
    const all = await move(vms);
    for (const vm of vms.slice(1)) await pair.b.client.actOnVm(vm, 'resume');
    console.log(
      count,
      JSON.stringify(summary(alone)),
      JSON.stringify(summary(all)),
      all.bytes / alone.bytes,
      FILL.pageCount * PAGE_SIZE,
    );
    for (const vm of vms) await runsIntact(pair, vm, pair.b);
  });
});
