/** A VM moves with its disks: those that both hosts share, proved to be that, and those that are copied as it writes them. */
import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { SECTOR_BYTES } from '../../guest/tiny/layout.ts';
import { checkLedger } from '../../guest/tiny/ledger.ts';
import type { MigrateBody } from '../../src/api/migration-schema.ts';
import type { MigrationProgress } from '../../src/migration/progress.ts';
import { requireCapability } from '../support/capability.ts';
import { furtherTest, withFurther } from '../support/further-cases.ts';
import {
  beginMigration,
  completedReport,
  createTinyVm,
  HostPair,
  isFree,
  openTinyGuest,
  type ReachedHost,
  restart,
  type WatchedMigration,
} from '../support/host-pair.ts';
import { runsIntact } from '../support/intact-vm.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { qemuVersions } from '../support/other-qemu.ts';
import { TempDirectory } from '../support/temp-directory.ts';
import type { TinyVmOptions } from '../support/tiny-vm.ts';
import { CALM } from '../support/tiny-vm.ts';
import { waitUntil } from '../support/wait-until.ts';

checkLeaks();

const VM = 'disky';
const MIB = 2 ** 20;
const SECTORS = 256;
const QEMUS = qemuVersions();

type Format = 'raw' | 'qcow2';

/** A host that sees another directory at this place. */
function seeing(directory: string, other: string): { launcher: string[] } {
  const mount = `mount --bind ${other} ${directory} && exec "$0" "$@"`;
  return { launcher: ['unshare', '--mount', 'sh', '-c', mount] };
}

/** With some data behind the ledger. */
function makeImage(path: string, format: Format, dataMiB = 1): void {
  execFileSync('qemu-img', ['create', '-q', '-f', format, path, '64M']);
  execFileSync('qemu-io', ['-f', format, '-c', `write -P 7 4M ${dataMiB}M`, path], { stdio: 'ignore' });
}

/** A VM whose guest writes to its disk. */
function withLedger(path: string, format: Format): TinyVmOptions & { readonly name: string } {
  const disk = { driver: format, 'node-name': 'ledger', file: { driver: 'file', filename: path } };
  const device = ['-device', 'isa-ide,id=legacy', '-device', 'ide-hd,id=ledger,drive=ledger,bus=legacy.0'];
  return {
    name: VM,
    guest: { diskSectors: SECTORS, ...CALM, pageCount: 256 },
    qemuArgs: ['-blockdev', JSON.stringify(disk), ...device],
  };
}

/** Of a host that makes images there. */
function imagesConfig(directory: TempDirectory): string {
  const path = directory.join('host.yaml');
  writeFileSync(path, `images: ${directory.path}\n`);
  return path;
}

/** Whether somebody has the image's lock for writing. */
function isLocked(path: string, format: Format): boolean {
  try {
    execFileSync('qemu-io', ['-f', format, '-c', 'read 0 512', path], { stdio: 'pipe' });
    return false;
  } catch {
    return true;
  }
}

/** The guest has written on, and its disk is as it left it. */
async function hasItsLedger(at: ReachedHost, path: string, format: Format): Promise<void> {
  using guest = await openTinyGuest(at, VM);
  const { diskWrites } = guest.counters;
  await guest.pagesWritten(100);
  await at.client.actOnVm(VM, 'pause');
  using directory = new TempDirectory();
  const copy = directory.join('raw');
  execFileSync('qemu-img', ['convert', '-U', '-f', format, '-O', 'raw', path, copy]);
  const written = guest.counters.diskWrites;
  expect(written).toBeGreaterThan(diskWrites);
  const contents = readFileSync(copy);
  expect(checkLedger(contents.subarray(0, SECTORS * SECTOR_BYTES), written)).toEqual([]);
  expect(contents.subarray(4 * MIB, 5 * MIB).every((byte) => byte === 7)).toBe(true);
  await at.client.actOnVm(VM, 'resume');
}

/** Some of the disk is there, not all. */
function isUnderWay(migration: WatchedMigration): Promise<MigrationProgress> {
  const isCopied = ({ disks }: MigrationProgress): boolean => (disks[0]?.copiedBytes ?? 0) > MIB;
  return migration.progresses('the disk is copied', isCopied, 60_000);
}

requireCapability('vm')('disks', () => {
  test.each(withFurther<Format>(['qcow2'], ['raw']))('that both hosts share are not copied: %s', async (format) => {
    using images = new TempDirectory();
    const path = images.join('disk');
    makeImage(path, format);
    await using pair = await HostPair.open();
    await createTinyVm(pair.a, withLedger(path, format));
    expect(await pair.a.client.check(VM, pair.b.host.migration)).toMatchObject({
      ok: true,
      notes: [expect.stringContaining('requests under way are waited for')],
    });
    const { disks } = completedReport(await pair.move(VM));
    expect(disks).toMatchObject([{ name: 'ledger', how: 'shared', wireBytes: 0 }]);
    await runsIntact(pair, VM, pair.b);
    await hasItsLedger(pair.b, path, format);
    expect(isLocked(path, format)).toBe(true);
    expect(readdirSync(images.path)).toEqual(['disk']);
  });

  test.each(
    withFurther(QEMUS.slice(0, 1), QEMUS.slice(1)),
  )('of a VM that stands still stay its own from host to host: %s', async (qemu) => {
    using images = new TempDirectory();
    const path = images.join('disk');
    makeImage(path, 'qcow2');
    await using pair = await HostPair.open();
    await createTinyVm(pair.a, { ...withLedger(path, 'qcow2'), qemu });
    await pair.a.client.actOnVm(VM, 'pause');
    for (const _ of ['there', 'back', 'there again']) {
      completedReport(await pair.move(VM));
      expect(isLocked(path, 'qcow2')).toBe(true);
    }
    await pair.b.client.actOnVm(VM, 'resume');
    await hasItsLedger(pair.b, path, 'qcow2');
  });

  furtherTest('of a VM that stands still and stays are its own again', async () => {
    using images = new TempDirectory();
    const path = images.join('disk');
    makeImage(path, 'qcow2');
    await using pair = await HostPair.open();
    await createTinyVm(pair.a, withLedger(path, 'qcow2'));
    await pair.a.client.actOnVm(VM, 'pause');
    pair.link.shape({ delayMs: 300 });
    const migration = await beginMigration(pair.a, VM, { to: pair.link.address, mode: 'pre-copy' });
    await migration.reaches('stopping');
    // It has saved the VM, and hears nothing of that any more.
    await waitUntil('nobody has the image', () => !isLocked(path, 'qcow2'));
    pair.link.cut();
    expect((await migration.ended).report).toMatchObject({ outcome: 'failed', owner: 'a' });
    await waitUntil('it has the image', () => isLocked(path, 'qcow2'));
    await pair.a.client.actOnVm(VM, 'resume');
    await hasItsLedger(pair.a, path, 'qcow2');
  });

  test('that another host has at the same path, too, are not taken for the same', async () => {
    using here = new TempDirectory();
    using there = new TempDirectory();
    const path = here.join('disk');
    const served = here.join('served');
    for (const name of ['disk', 'served']) {
      makeImage(here.join(name), 'raw');
      makeImage(there.join(name), 'raw');
    }
    await using pair = await HostPair.open({}, seeing(here.path, there.path));
    await createTinyVm(pair.a, {
      name: VM,
      disks: [
        { path, format: 'raw' },
        { path: served, format: 'raw', through: 'block-server' },
      ],
    });
    const to = pair.b.host.migration;
    const migration = await pair.a.host.cli(['migrate', VM, '--to', to, '--disks', 'shared', '--json']);
    expect(migration).toMatchObject({ status: 3, json: { outcome: 'refused', owner: 'a' } });
    expect(migration.json.error.message).toMatch(
      /disk virtio-disk0 \(.*\/disk\): .*it is another directory \(put the image on storage .*--disks pre-copy/,
    );
    // A copy of this one is not to be had.
    expect(migration.json.error.message).toMatch(
      /disk \S+ \(.*\/served\): .*it is another directory \(put the image on storage that both hosts share, at the same path\)/,
    );
    // By itself it would be copied, but not over what is there.
    const check = await pair.a.host.cli(['check', VM, '--to', to, '--json']);
    expect(check).toMatchObject({ status: 3, json: { ok: false, outcome: 'refused' } });
    expect(check.json.blockers[0].reason).toMatch(/disk virtio-disk0 .*there is a file already/);
    await runsIntact(pair, VM, pair.a);
    expect(isLocked(path, 'raw')).toBe(true);
    expect([...readdirSync(here.path), ...readdirSync(there.path)]).toEqual(['disk', 'served', 'disk', 'served']);
  });

  type Copied = readonly [Format, MigrateBody['mode']];
  test.each(
    withFurther<Copied>(
      [['raw', 'pre-copy']],
      [
        ['raw', 'post-copy'],
        ['qcow2', 'pre-copy'],
      ],
    ),
  )('that the other host has not are copied as they are written: %s, mode %s', async (format, mode) => {
    using here = new TempDirectory();
    using there = new TempDirectory();
    const path = here.join('disk');
    makeImage(path, format);
    await using pair = await HostPair.open({}, seeing(here.path, there.path));
    await createTinyVm(pair.a, withLedger(path, format));
    const to = pair.b.host.migration;
    const note = `disk ledger would be copied to ${path}`;
    expect(await pair.a.client.check(VM, to)).toMatchObject({ ok: true, notes: expect.arrayContaining([note]) });
    expect(readdirSync(there.path)).toEqual([]);
    const report = completedReport(await pair.move(VM, { mode, sourceDisks: 'delete' }));
    expect(report.disks).toMatchObject([{ name: 'ledger', how: 'pre-copy', from: path, to: path, bytes: 64 * MIB }]);
    await runsIntact(pair, VM, pair.b);
    await hasItsLedger(pair.b, there.join('disk'), format);
    expect(isLocked(there.join('disk'), format)).toBe(true);
    expect(statSync(there.join('disk')).blocks * 512).toBeLessThan(4 * MIB);
    expect(readdirSync(here.path)).toEqual([]);
  });

  const IN_TIME = { data: 1, finishByMs: 50_000, isKept: true };
  const TOO_LATE = { data: 32, finishByMs: 3_000, isKept: false };
  test.each(
    withFurther<typeof IN_TIME>([], [IN_TIME, TOO_LATE]),
  )('that are copied before --finish-by ($finishByMs ms) is over, or are told not to be', async ({
    data,
    finishByMs,
    isKept,
  }) => {
    using here = new TempDirectory();
    using there = new TempDirectory();
    const path = here.join('disk');
    makeImage(path, 'raw', data);
    await using pair = await HostPair.open();
    await createTinyVm(pair.a, withLedger(path, 'raw'));
    const diskPaths = { ledger: there.join('disk') };
    const request = { to: pair.b.host.migration, mode: 'auto', disks: 'pre-copy', diskPaths, finishByMs } as const;
    const migration = await beginMigration(pair.a, VM, { ...request, bandwidthBytesPerSecond: 4 * MIB });
    const report = completedReport(await migration.ended);
    expect(report.disks).toMatchObject([{ how: 'pre-copy' }]);
    expect(report.totalMs <= finishByMs).toBe(isKept);
    const texts = migration.progress.map(({ verdict }) => verdict.text).join('\n');
    const isTold = /Copying disks: ledger \d+ %; with them it may take .* later than --finish-by 3/.test(texts);
    expect(isTold).toBe(!isKept);
    // Memory has not waited any longer.
    if (!isKept) expect(report).toMatchObject({ rounds: [], postCopy: { missingPages: expect.any(Number) } });
    await isFree(pair.b, VM);
    await hasItsLedger(pair.b, there.join('disk'), 'raw');
  });

  const CANCELLED = withFurther<string>([], ['a cancel']);
  test.each(
    CANCELLED,
  )('that were copied half way are gone after %s, and the next try moves them to another place', async () => {
    using here = new TempDirectory();
    using there = new TempDirectory();
    const path = here.join('disk');
    makeImage(path, 'qcow2', 32);
    await using pair = await HostPair.open({}, { args: ['--config', imagesConfig(there)] });
    await createTinyVm(pair.a, withLedger(path, 'qcow2'));
    const request = { to: pair.b.host.migration, disks: 'pre-copy', mode: 'post-copy' } as const;
    const slow = await beginMigration(pair.a, VM, { ...request, bandwidthBytesPerSecond: 4 * MIB });
    const { etaMs, remainingBytes, verdict } = await isUnderWay(slow);
    expect(verdict.kind).toBe('disks');
    expect(remainingBytes).toBeGreaterThan(MIB);
    expect(etaMs).toBeGreaterThan(0);
    expect(existsSync(there.join('disk'))).toBe(true);
    await slow.cancel();
    expect((await slow.ended).report).toMatchObject({ outcome: 'cancelled', owner: 'a' });
    await runsIntact(pair, VM, pair.a);
    expect(readdirSync(there.path)).not.toContain('disk');
    await hasItsLedger(pair.a, path, 'qcow2');
    const diskPaths = { ledger: there.join('moved') };
    completedReport(await beginMigration(pair.a, VM, { ...request, diskPaths }).then(({ ended }) => ended));
    await isFree(pair.b, VM);
    await hasItsLedger(pair.b, there.join('moved'), 'qcow2');
    expect(existsSync(path)).toBe(true);
  });

  test.for(
    withFurther<'source' | 'destination'>([], ['source', 'destination']),
  )('that are being copied when the daemon of the %s dies stay where they are', async (side) => {
    using here = new TempDirectory();
    using there = new TempDirectory();
    const path = here.join('disk');
    makeImage(path, 'raw', 32);
    await using pair = await HostPair.open();
    await createTinyVm(pair.a, withLedger(path, 'raw'));
    const diskPaths = { ledger: there.join('disk') };
    const request = { to: pair.b.host.migration, disks: 'pre-copy', diskPaths } as const;
    const slow = await beginMigration(pair.a, VM, { ...request, bandwidthBytesPerSecond: 4 * MIB });
    await isUnderWay(slow);
    await restart(side === 'source' ? pair.a : pair.b);
    await isFree(pair.a, VM);
    await runsIntact(pair, VM, pair.a);
    await hasItsLedger(pair.a, path, 'raw');
    expect(readdirSync(there.path)).toEqual([]);
    completedReport(await beginMigration(pair.a, VM, request).then(({ ended }) => ended));
    await isFree(pair.b, VM);
    await hasItsLedger(pair.b, there.join('disk'), 'raw');
  });
});
