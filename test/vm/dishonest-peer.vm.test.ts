/** A host that lies, and one whose store of pages somebody has altered: found before the commit, and the VM goes on at the source. */
import { closeSync, existsSync, fstatSync, openSync, writeSync } from 'node:fs';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { FIRST_USABLE_PAGE } from '../../guest/tiny/layout.ts';
import type { MigrateBody, ReportView } from '../../src/api/migration-schema.ts';
import { PACKING_STEPS } from '../../src/base/packing-step.ts';
import { PAGE_SIZE } from '../../src/base/page.ts';
import { encodeFrameHeader, FrameType, type PeerRole } from '../../src/wire/frame-types.ts';
import { decodeControl, encodeControl } from '../../src/wire/message-codec.ts';
import { requireCapability } from '../support/capability.ts';
import { furtherTest } from '../support/further-cases.ts';
import { beginMigration, completedReport, createTinyVm, HostPair } from '../support/host-pair.ts';
import { runsIntact } from '../support/intact-vm.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { type Lie, LyingLink } from '../support/lying-link.ts';
import { CALM } from '../support/tiny-vm.ts';
import { waitUntil } from '../support/wait-until.ts';

checkLeaks();

const VM = 'deceived';
/** 8 MiB, of which the guest writes a part. */
const FILL = { firstPage: FIRST_USABLE_PAGE, pageCount: 2048 };
const WORKING_PAGES = 64;
/** A link so slow that pages are named whatever else the machine has to do. */
const LINK = { bandwidthBytesPerSecond: 25_000_000 } as const;

let pair: HostPair;

/** Moves it to the second host over such a link, and returns how that ended and what was noted. */
async function moveOver(
  liar: PeerRole,
  lie: Lie,
  request: Partial<MigrateBody> = {},
): Promise<{ readonly report: ReportView; readonly notes: readonly string[] }> {
  await using link = await LyingLink.open(pair.b.host.migration, liar, lie);
  const migration = await beginMigration(pair.a, VM, { to: link.address, mode: 'pre-copy', verify: true, ...request });
  const { report } = await migration.ended;
  return { report: report!, notes: migration.notes };
}

/** It has found out, and the VM is where it was and as it was. */
async function stayed({ report }: { readonly report: ReportView }, error: object): Promise<void> {
  expect(report).toMatchObject({ outcome: 'failed', owner: 'a', error });
  await runsIntact(pair, VM, pair.a);
}

/** Of every page that the second host keeps of the VM one byte becomes another. */
async function poisonVisit(): Promise<void> {
  const { uuid } = await pair.a.client.showVm(VM);
  const visit = pair.b.host.directory.join(`state/visits/${uuid}`);
  await waitUntil('what the VM left is whole', () => existsSync(`${visit}/index`));
  const fd = openSync(`${visit}/image`, 'r+');
  for (let at = 100; at < fstatSync(fd).size; at += PAGE_SIZE) writeSync(fd, Buffer.of(0xa5), 0, 1, at);
  closeSync(fd);
}

/** So that the second host holds all of it. */
async function visit(): Promise<void> {
  await pair.bring(VM, pair.b);
  await pair.bring(VM, pair.a);
}

requireCapability('vm')('a dishonest peer', () => {
  beforeAll(async () => {
    pair = await HostPair.open({ args: ['--keep-visits', '200MiB'] });
    const guest = { firstPage: FIRST_USABLE_PAGE, pageCount: WORKING_PAGES, ...CALM, fill: FILL };
    await createTinyVm(pair.a, { name: VM, guest });
  });
  beforeEach(() => pair.bring(VM, pair.a));
  afterAll(() => pair?.[Symbol.asyncDispose]());

  test('a source that sends other pages than it has', async () => {
    const spoil: Lie = (frame, payload) => {
      if (frame === 'pages') payload[payload.length - 1]! ^= 1;
      return undefined;
    };
    await stayed(await moveOver('source', spoil, { without: [...PACKING_STEPS] }), { code: 'GW_MIGRATION_VERIFY' });
  });

  test('a destination that says it has loaded something else', async () => {
    const deny: Lie = (frame, payload) => {
      if (frame !== 'loaded') return undefined;
      const said = decodeControl(FrameType.loaded, payload);
      if (said.kind !== 'loaded') return undefined;
      return [encodeControl({ ...said, digest: { ...said.digest!, digest: 'f'.repeat(32) } })];
    };
    await stayed(await moveOver('destination', deny), { code: 'GW_MIGRATION_VERIFY' });
  });

  test('a destination that says it has loaded what it was not given yet is not heard, and asked again at the end', async () => {
    const digest = { scheme: 'sha256', pages: 0, digest: '0'.repeat(32), chunks: [] } as const;
    const loaded = encodeControl({ kind: 'loaded', digest, loadMs: 1, timings: {} });
    const boast: Lie = (frame, payload) => {
      if (frame !== 'roundAck') return undefined;
      return [loaded, encodeFrameHeader('roundAck', payload.length, 0), payload];
    };
    const { report, notes } = await moveOver('destination', boast);
    expect(notes).toContain('Refused in phase copying: loaded');
    expect(completedReport({ report }).verify).toMatchObject({ equal: true });
    await runsIntact(pair, VM, pair.b);
  });

  furtherTest('a destination whose store was altered says so, and the pages are sent after all', async () => {
    await visit();
    await poisonVisit();
    const report = completedReport(await pair.move(VM, { ...LINK, mode: 'pre-copy', verify: true }));
    expect(report.packing!.missedReferences).toBeGreaterThan(FILL.pageCount / 2);
    expect(report.verify).toMatchObject({ equal: true });
    await runsIntact(pair, VM, pair.b);
  });

  test('a destination that hides which pages its altered store has not, also where no digests are compared', async () => {
    await visit();
    await poisonVisit();
    const hide: Lie = (frame) => (frame === 'missedPages' ? [] : undefined);
    const ended = await moveOver('destination', hide, { ...LINK, without: ['delta'], verify: false });
    await stayed(ended, { message: expect.stringMatching(/pages were named that are not here, and not sent/) });
  });
});
