/**
 * What goes wrong while a VM moves. Before the commit the VM runs on at the source, unslowed and untracked, and nothing
 * is left at the destination; after it the VM goes on at the destination.
 */
import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { FIRST_USABLE_PAGE } from '../../guest/tiny/layout.ts';
import type { MigrateBody, ReportView } from '../../src/api/migration-schema.ts';
import { identifyProcess, signalProcess } from '../../src/linux/process.ts';
import type { MigrationMode } from '../../src/migration/request.ts';
import { requireCapability } from '../support/capability.ts';
import { freePort } from '../support/free-port.ts';
import { furtherTest, withFurther } from '../support/further-cases.ts';
import { runCli } from '../support/godwit-cli.ts';
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
import type { TinyGuestView } from '../support/tiny-guest-view.ts';
import { BUSY, CALM } from '../support/tiny-vm.ts';
import { listQemus, noMarks, nothingRemains } from '../support/traces.ts';

checkLeaks();

const VM = 'unlucky';
const MIB = 2 ** 20;
/** Every page of the guest's working range has contents, also those that it has not come to yet: 16 MiB. */
const FILL = { firstPage: FIRST_USABLE_PAGE, pageCount: 4096 };
/** 18 MiB of data take over two seconds. */
const SLOW: Partial<MigrateBody> = { bandwidthBytesPerSecond: 8 * MIB };
const CUT_MS = 3000;

let pair: HostPair;

async function atSourceAsBefore(): Promise<void> {
  await runsIntact(pair, VM, pair.a);
}

async function begin(request: Partial<MigrateBody>, to: string = pair.link.address): Promise<WatchedMigration> {
  return await beginMigration(pair.a, VM, { to, ...request });
}

/** Stopped after one pass, with all pages written again, on a slow link: the last round takes seconds. */
async function beginLongStop(vm: string, guest: TinyGuestView): Promise<WatchedMigration> {
  pair.link.shape({ bytesPerSecond: 8 * MIB });
  const request = { mode: 'pre-copy', maxDowntimeMs: 60_000, to: pair.link.address } as const;
  const migration = await beginMigration(pair.a, vm, request);
  guest.change(BUSY);
  await migration.reaches('stopping');
  return migration;
}

async function failure(migration: WatchedMigration): Promise<ReportView> {
  const { report } = await migration.ended;
  expect(report).toMatchObject({ outcome: 'failed', owner: 'a', downtimeMs: null });
  expect(report!.error).not.toBeNull();
  return report!;
}

function killQemus(pids: readonly number[]): void {
  expect(pids).not.toEqual([]);
  for (const pid of pids) signalProcess(identifyProcess(pid)!, 'SIGKILL');
}

requireCapability('vm')('failures', () => {
  beforeAll(async () => {
    pair = await HostPair.open();
    await createTinyVm(pair.a, { name: VM, guest: { ...CALM, fill: FILL } });
  });
  beforeEach(() => pair.bring(VM, pair.a));
  afterAll(() => pair?.[Symbol.asyncDispose]());

  test.each(['pre-copy', 'hybrid', 'auto'] as const)('the connection is cut in copying (%s)', async (mode) => {
    const migration = await begin({ mode, ...SLOW });
    await migration.reaches('copying');
    await pair.link.carries(2 * MIB, 'up');
    pair.link.cut();
    try {
      expect((await failure(migration)).error!.code).toBe('GW_WIRE_CLOSED');
      await atSourceAsBefore();
    } finally {
      pair.link.restore();
    }
  });

  furtherTest('the connection is cut while the destination prepares', async () => {
    const offer = pair.link.carries(500, 'up');
    const migration = await begin(SLOW);
    await offer;
    expect(migration.phases).not.toContain('copying');
    pair.link.cut();
    pair.link.restore();
    await failure(migration);
    await atSourceAsBefore();
  });

  test('the connection is cut in stopping: the VM is resumed, the abort is delivered later', async () => {
    using guest = await openTinyGuest(pair.a, VM);
    const migration = await beginLongStop(VM, guest);
    try {
      pair.link.cut();
      await failure(migration);
      await guest.pagesWritten(1000);
    } finally {
      pair.link.shape({ bytesPerSecond: undefined });
      pair.link.restore();
    }
    guest.change(CALM);
    await atSourceAsBefore();
  });

  test.each<MigrationMode>(
    withFurther(['hybrid'], ['post-copy']),
  )('the connection is cut for some seconds in %s after the commit', async (mode) => {
    pair.link.shape({ bytesPerSecond: 8 * MIB });
    let report: ReportView;
    try {
      const migration = await begin({ mode, verify: true });
      await migration.reaches('serving');
      pair.link.cut();
      await migration.progresses('it says that it waits', ({ waitingFor }) => waitingFor === 'connection');
      await delay(CUT_MS);
      expect(migration.phases.at(-1)).not.toBe('released');
      pair.link.restore();
      report = completedReport(await migration.ended);
    } finally {
      pair.link.shape({ bytesPerSecond: undefined });
      pair.link.restore();
    }
    expect(report.postCopy!.reconnects).toBeGreaterThanOrEqual(1);
    expect(report.verify).toMatchObject({ equal: true });
    await runsIntact(pair, VM, pair.b);
  });

  test('the destination QEMU dies in copying', async () => {
    const migration = await begin(SLOW);
    await migration.reaches('copying');
    killQemus(listQemus(pair.b));
    expect((await failure(migration)).error!.message).toMatch(/QEMU/);
    await atSourceAsBefore();
  });

  furtherTest('the destination daemon dies in copying', async () => {
    const migration = await begin(SLOW);
    await migration.reaches('copying');
    await pair.b.host.kill();
    try {
      await failure(migration);
    } finally {
      // Its QEMU outlives it, and is found and ended by the next daemon.
      await pair.b.host.start();
    }
    await atSourceAsBefore();
  });

  test.each(['QEMU', 'daemon'] as const)('the destination %s dies in stopping: the VM is resumed', async (which) => {
    using guest = await openTinyGuest(pair.a, VM);
    const migration = await beginLongStop(VM, guest);
    if (which === 'QEMU') killQemus(listQemus(pair.b));
    else await pair.b.host.kill();
    try {
      const { error } = await failure(migration);
      // It was seen, and not waited for.
      expect(error!.code).not.toMatch(/TIMEOUT/);
      await guest.pagesWritten(1000);
    } finally {
      pair.link.shape({ bytesPerSecond: undefined });
      if (which === 'daemon') await pair.b.host.start();
    }
    guest.change(CALM);
    await atSourceAsBefore();
  });

  test.each([
    'copying',
    'stopping',
  ])('the source QEMU dies in %s: the VM is lost by itself, not by the migration, and nothing is left', async (phase) => {
    await createTinyVm(pair.a, { name: 'mortal', guest: { ...CALM, fill: FILL } });
    using guest = await openTinyGuest(pair.a, 'mortal');
    const migration =
      phase === 'stopping'
        ? await beginLongStop('mortal', guest)
        : await beginMigration(pair.a, 'mortal', { to: pair.link.address, ...SLOW });
    await migration.reaches(phase);
    const { pid } = await pair.a.client.showVm('mortal');
    killQemus([pid!]);
    const { report } = await migration.ended.finally(() => pair.link.shape({ bytesPerSecond: undefined }));
    expect(report).toMatchObject({ outcome: 'failed', owner: 'a', error: { code: 'GW_QEMU_GONE' } });
    await nothingRemains(pair.b, 'mortal');
    await expect.poll(() => pair.a.client.showVm('mortal')).toMatchObject({ state: 'crashed', migration: null });
    await pair.a.client.removeVm('mortal');
  });

  test('a link that goes silent in copying: the migration can be cancelled, and what the peer has goes later', async () => {
    const migration = await begin(SLOW);
    await migration.reaches('copying');
    pair.link.hold();
    try {
      await migration.cancel();
      expect((await migration.ended).report).toMatchObject({ outcome: 'cancelled', owner: 'a' });
      const { pid } = await isFree(pair.a, VM);
      await noMarks(pid!);
    } finally {
      pair.link.restore();
    }
    await atSourceAsBefore();
  });

  test('no peer answers', async () => {
    const to = `127.0.0.1:${await freePort()}`;
    const check = await pair.a.host.cli(['check', VM, '--to', to, '--json']);
    expect(check).toMatchObject({
      status: 1,
      json: { ok: false, outcome: 'failed', blockers: [{ id: 'GW_PEER_UNREACHABLE' }] },
    });
    const result = await pair.a.host.cli(['migrate', VM, '--to', to, '--json']);
    expect(result).toMatchObject({ status: 1, json: { outcome: 'failed', error: { code: 'GW_PEER_UNREACHABLE' } } });
    await atSourceAsBefore();
  });

  test('a wrong host: something else listens there', async () => {
    const api = pair.b.host.api.replace('http://', '');
    const result = await pair.a.host.cli(['migrate', VM, '--to', api, '--json']);
    expect(result.status).toBe(1);
    expect(['GW_WIRE_BAD_MAGIC', 'GW_WIRE_CLOSED']).toContain(result.json.error.code);
    await atSourceAsBefore();
  });

  test('to itself: refused', async () => {
    const result = await pair.a.host.cli(['migrate', VM, '--to', pair.a.host.migration]);
    expect(result).toMatchObject({ status: 2, stderr: expect.stringContaining('is the migration port of this one') });
    await atSourceAsBefore();
  });

  test('the name is taken at the destination', async () => {
    await createTinyVm(pair.a, { name: 'twin' });
    await createTinyVm(pair.b, { name: 'twin' });
    const before = await pair.b.client.showVm('twin');
    const result = await pair.a.host.cli(['migrate', 'twin', '--to', pair.b.host.migration, '--json']);
    expect(result).toMatchObject({ status: 3, json: { outcome: 'refused', error: { code: 'GW_MIGRATION_REFUSED' } } });
    expect(result.json.error.message).toContain('already has a VM named twin');
    expect(await pair.b.client.showVm('twin')).toEqual(before);
    expect(await isFree(pair.a, 'twin')).toMatchObject({ state: 'running' });
    for (const { client } of [pair.a, pair.b]) {
      await client.actOnVm('twin', 'kill');
      await client.removeVm('twin');
    }
  });

  test('a VM that is being migrated is busy', async () => {
    const migration = await begin(SLOW);
    await migration.reaches('copying');
    const busy = { code: 'GW_MIGRATION_BUSY' };
    await expect(pair.a.client.migrate(VM, { to: pair.b.host.migration })).rejects.toMatchObject(busy);
    await expect(pair.a.client.actOnVm(VM, 'pause')).rejects.toMatchObject(busy);
    await expect(pair.a.client.actOnVm(VM, 'kill')).rejects.toMatchObject(busy);
    await expect(pair.b.client.actOnVm(VM, 'kill')).rejects.toMatchObject(busy);
    expect(await pair.a.client.showVm(VM)).toMatchObject({ state: 'leaving', migration: migration.id, owner: 'a' });
    expect(await pair.b.client.listVms()).toMatchObject([{ name: VM, state: 'arriving', migration: migration.id }]);
    await migration.cancel();
    await migration.ended;
    await atSourceAsBefore();
  });

  furtherTest('two VMs move at once, in opposite directions', async () => {
    await createTinyVm(pair.b, { name: 'other', guest: { ...CALM } });
    const there = await begin({ mode: 'auto', verify: true }, pair.b.host.migration);
    const back = await beginMigration(pair.b, 'other', { to: pair.a.host.migration, mode: 'hybrid', verify: true });
    for (const view of await Promise.all([there.ended, back.ended])) completedReport(view);
    // The source hears of the end first.
    await isFree(pair.b, VM);
    await worksIntact(pair.b, VM);
    expect(await isFree(pair.a, 'other')).toMatchObject({ state: 'running', arrivedFrom: 'b' });
    await pair.a.client.actOnVm('other', 'kill');
    await pair.a.client.removeVm('other');
  });

  test('strangers on the migration port harm nothing', async () => {
    const [host, port] = pair.b.host.migration.split(':') as [string, string];
    const strangers = [
      randomBytes(100_000),
      Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
      Buffer.alloc(0),
      Buffer.alloc(64, 0xff),
    ].map(async (bytes) => {
      const socket = connect(Number(port), host);
      socket.on('error', () => undefined);
      socket.end(bytes);
      socket.resume();
      await new Promise((resolve) => socket.once('close', resolve));
    });
    // One that says nothing and stays.
    const silent = connect(Number(port), host);
    try {
      const migration = await begin({ mode: 'auto', verify: true }, pair.b.host.migration);
      completedReport(await migration.ended);
      await Promise.all(strangers);
    } finally {
      silent.destroy();
    }
    await runsIntact(pair, VM, pair.b);
  });

  test('the migration port is taken: the daemon says so and does not start', async () => {
    const result = await runCli([
      ...['host', '--json', '--name', 'c', '--state', pair.a.host.directory.join('c')],
      ...['--listen', '127.0.0.1:0', '--migration-listen', pair.b.host.migration],
    ]);
    expect(result.status).toBe(1);
    expect(result.stdout + result.stderr).toMatch(/port.*taken/);
  });
});
