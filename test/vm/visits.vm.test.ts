/** A VM that comes back to where it was brings little with it; whatever has become of what it left, its memory is right. */
import { closeSync, fstatSync, openSync, readdirSync, statSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { lastHeartbeat, readComplaints } from '../../guest/linux/console.ts';
import { linuxGuestCommandLine, linuxGuestImages } from '../../guest/linux/images.ts';
import type { MigrateBody, ReportView } from '../../src/api/migration-schema.ts';
import { requireCapability } from '../support/capability.ts';
import { furtherTest, withFurther } from '../support/further-cases.ts';
import { completedReport, HostPair, isFree, type ReachedHost } from '../support/host-pair.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { TempDirectory } from '../support/temp-directory.ts';
import { waitUntil } from '../support/wait-until.ts';

checkLeaks();

const VM = 'visitor';
const OTHER = 'other';
const WORKLOAD = { fillMiB: 100, workingSetMiB: 1, rate: 500, mode: 'words', check: 1000 } as const;
/** For one of them. */
const BUDGET_BYTES = 250 * 2 ** 20;
/** 1 Gbit/s. */
const LINK = { bandwidthBytesPerSecond: 125_000_000 } as const;
const AWAY_MS = 3000;

let pair: HostPair;

async function consoleText({ client }: ReachedHost, vm = VM): Promise<string> {
  return await client.consoleText(vm);
}

async function beats(at: ReachedHost, vm: string, more: number): Promise<void> {
  const from = lastHeartbeat(await consoleText(at, vm))?.number ?? 0;
  await waitUntil(
    `${more} heartbeats of ${vm}`,
    async () => (lastHeartbeat(await consoleText(at, vm))?.number ?? 0) >= from + more,
    { timeoutMs: 60_000, intervalMs: 50 },
  );
}

function createLinux(at: ReachedHost, name: string): Promise<unknown> {
  return at.client.createVm({
    name,
    memory: '256MiB',
    accel: 'tcg',
    boot: { ...linuxGuestImages(), cmdline: linuxGuestCommandLine(WORKLOAD) },
  });
}

async function move(request: Omit<MigrateBody, 'to'> = {}, vm = VM): Promise<ReportView> {
  const { other } = await pair.locate(vm);
  const report = completedReport(await pair.move(vm, { ...LINK, verify: true, ...request }));
  if (request.verify !== false) expect(report.verify).toMatchObject({ equal: true });
  await isFree(other, vm);
  await beats(other, vm, 1);
  expect(readComplaints(await consoleText(other, vm))).toEqual([]);
  return report;
}

const visitsOf = ({ host }: ReachedHost): string => host.directory.join('state/visits');

/** The files of a visit, when it is whole. */
async function visitAt(at: ReachedHost, uuid: string): Promise<{ image: string; index: string }> {
  const directory = join(visitsOf(at), uuid);
  await waitUntil('what the VM left is whole', () => readNames(directory).includes('index'));
  return { image: join(directory, 'image'), index: join(directory, 'index') };
}

function readNames(directory: string): string[] {
  return statSync(directory, { throwIfNoEntry: false }) ? readdirSync(directory) : [];
}

async function uuidOf(at: ReachedHost, vm = VM): Promise<string> {
  return (await at.client.showVm(vm)).uuid;
}

requireCapability('vm')('a VM that comes back', () => {
  let uuid: string;
  let first: ReportView;

  beforeAll(async () => {
    pair = await HostPair.open({ args: ['--keep-visits', String(BUDGET_BYTES)] });
    await createLinux(pair.a, VM);
    await beats(pair.a, VM, 2);
    uuid = await uuidOf(pair.a);
    first = await move();
    expect(first.packing).toMatchObject({ duplicatePages: 0 });
    await visitAt(pair.a, uuid);
  });
  afterAll(() => pair?.[Symbol.asyncDispose]());

  test('brings a quarter of what it took away at most, also where the daemon was started anew meanwhile', async () => {
    await delay(AWAY_MS);
    await pair.a.host.stop();
    await pair.a.host.start();
    const back = await move();
    expect(back.packing!.duplicatePages).toBeGreaterThan(first.pages.sent / 2);
    expect(back.wireBytes).toBeLessThan(first.wireBytes * 0.25);
    await visitAt(pair.b, uuid);
  });

  furtherTest('brings as little by post-copy, there and back', async () => {
    for (const left of [pair.a, pair.b]) {
      const { packing, wireBytes, postCopy } = await move({ mode: 'post-copy', verify: false });
      expect(postCopy!.missingPages).toBeGreaterThan(first.pages.sent / 2);
      expect(packing!.duplicatePages).toBeGreaterThan(first.pages.sent / 2);
      expect(wireBytes).toBeLessThan(first.wireBytes * 0.25);
      await visitAt(left, uuid);
    }
  });

  test('brings everything without the step', async () => {
    const report = await move({ without: ['duplicates'] });
    expect(report.packing).toMatchObject({ duplicatePages: 0, missedReferences: 0 });
    expect(report.wireBytes).toBeGreaterThan(first.wireBytes * 0.5);
    await visitAt(pair.a, uuid);
  });

  describe('what it left', () => {
    test.each<[string, (visit: { image: string; index: string }) => void]>(
      withFurther(
        [['has other contents', ({ image }) => poison(image)]],
        [['has lost its end', ({ image }) => truncateSync(image, 2 ** 20)]],
      ),
    )('%s: the pages are sent after all', async (_, spoil) => {
      const { other } = await pair.locate(VM);
      spoil(await visitAt(other, uuid));
      const report = await move({ mode: 'pre-copy' });
      expect(report.packing!.missedReferences).toBeGreaterThan(first.pages.sent / 2);
      expect(report.packing!.duplicatePages).toBeLessThan(first.pages.sent / 10);
      await visitAt(await pair.locate(VM).then(({ other: left }) => left), uuid);
    });

    furtherTest('has other contents, and it comes by post-copy: the pages are sent after all', async () => {
      const { other, at } = await pair.locate(VM);
      poison((await visitAt(other, uuid)).image);
      const report = await move({ mode: 'post-copy', verify: false });
      expect(report.packing!.missedReferences).toBeGreaterThan(500);
      expect(report.packing!.duplicatePages).toBeLessThan(first.pages.sent / 10);
      // The guest has looked at all of its memory (move), and does it again.
      expect(report.wireBytes).toBeGreaterThan(first.wireBytes * 0.5);
      await beats(other, VM, 5);
      expect(readComplaints(await consoleText(other))).toEqual([]);
      await visitAt(at, uuid);
    });

    furtherTest('has a damaged index: as if there were none', async () => {
      const { other } = await pair.locate(VM);
      const { index } = await visitAt(other, uuid);
      truncateSync(index, 1000);
      const report = await move();
      expect(report.packing).toMatchObject({ duplicatePages: 0, missedReferences: 0 });
    });

    furtherTest('goes when there is no room for what another one leaves', async () => {
      const { at, other } = await pair.locate(VM);
      await visitAt(other, uuid);
      await createLinux(other, OTHER);
      await beats(other, OTHER, 2);
      const otherUuid = await uuidOf(other, OTHER);
      await move({}, OTHER);
      await visitAt(other, otherUuid);
      expect(readNames(visitsOf(other))).toEqual([otherUuid]);
      await at.client.actOnVm(OTHER, 'kill');
      await at.client.removeVm(OTHER);
    });
  });
});

requireCapability('vm')('a second VM of the same image', () => {
  const SECOND = 'second';

  async function bringBoth(args: readonly string[]): Promise<{ first: ReportView; second: ReportView }> {
    await createLinux(pair.a, VM);
    await createLinux(pair.a, SECOND);
    await Promise.all([VM, SECOND].map((vm) => beats(pair.a, vm, 2)));
    const first = await move();
    if (args.length > 0) {
      const scanned = pair.b.host.directory.join('state/contents');
      await waitUntil('the first one was looked through', () => readNames(scanned).length > 0);
    }
    return { first, second: await move({}, SECOND) };
  }

  afterEach(() => pair?.[Symbol.asyncDispose]());

  test('brings little where both hosts have the key of the fleet', async () => {
    using directory = new TempDirectory();
    writeFileSync(directory.join('key'), 'a secret of two hosts of this test\n');
    const args = ['--fleet-key-file', directory.join('key')];
    pair = await HostPair.open({ args });
    const { first, second } = await bringBoth(args);
    // Not bytes: how densely each is packed depends on what else the machine does. The bench counts them.
    expect(second.packing!.duplicatePages).toBeGreaterThan(first.pages.sent / 2);
  });

  furtherTest('brings everything where they have not', async () => {
    pair = await HostPair.open();
    const { first, second } = await bringBoth([]);
    expect(second.packing).toMatchObject({ duplicatePages: 0, missedReferences: 0 });
    // Not bytes: how densely each is packed depends on what else the machine does.
    expect(second.pages.sent).toBeGreaterThan(first.pages.sent * 0.7);
  });
});

/** As if somebody had written what he likes; a byte a page, because reading it all would hold up this process. */
function poison(path: string): void {
  const fd = openSync(path, 'r+');
  try {
    const { size } = fstatSync(fd);
    for (let at = 100; at < size; at += 4096) writeSync(fd, Buffer.of(0xa5), 0, 1, at);
  } finally {
    closeSync(fd);
  }
}
