/** A destination that cannot take the VM says why before the source does anything, or as soon as it turns out. */
import { execFileSync } from 'node:child_process';
import { symlinkSync, unlinkSync } from 'node:fs';
import { expect, test } from 'vitest';
import { FIRST_USABLE_PAGE } from '../../guest/tiny/layout.ts';
import { findBinary } from '../../src/qemu/process.ts';
import { requireCapability, TEST_QEMU } from '../support/capability.ts';
import { beginMigration, createTinyVm, HostPair } from '../support/host-pair.ts';
import { runsIntact } from '../support/intact-vm.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { TempDirectory } from '../support/temp-directory.ts';
import { CALM } from '../support/tiny-vm.ts';

checkLeaks();

const VM = 'refused';
const MIB = 2 ** 20;
/** Contents for 16 MiB. */
const FILL = { firstPage: FIRST_USABLE_PAGE, pageCount: 4096 };

/** A host whose /dev/shm is this large; only it and its QEMUs see it. */
function withSharedMemory(mebibytes: number): { launcher: string[] } {
  const mount = `mount -t tmpfs -o size=${mebibytes}m tmpfs /dev/shm && exec "$0" "$@"`;
  return { launcher: ['unshare', '--mount', 'sh', '-c', mount] };
}

requireCapability('vm')('refusals', () => {
  test('no room: a VM larger than what /dev/shm has free', async () => {
    await using pair = await HostPair.open({}, withSharedMemory(48));
    await createTinyVm(pair.a, { name: VM });
    const to = pair.b.host.migration;
    const check = await pair.a.host.cli(['check', VM, '--to', to, '--json']);
    expect(check).toMatchObject({ status: 3, json: { ok: false } });
    expect(JSON.stringify(check.json.blockers)).toMatch(/\/dev\/shm: 64.0 MiB needed, 48.0 MiB available/);
    const result = await pair.a.host.cli(['migrate', VM, '--to', to, '--json']);
    expect(result).toMatchObject({
      status: 3,
      json: { outcome: 'refused', owner: 'a', wireBytes: expect.any(Number) },
    });
    expect(result.json.error.message).toMatch(/Host b refused.*\/dev\/shm: 64.0 MiB needed, 48.0 MiB available/);
    await runsIntact(pair, VM, pair.a);
  });

  test('room that somebody else takes while the pages arrive', async () => {
    await using pair = await HostPair.open({}, withSharedMemory(80));
    await createTinyVm(pair.a, { name: VM, guest: { ...CALM, fill: FILL } });
    const request = { to: pair.b.host.migration, mode: 'pre-copy', bandwidthBytesPerSecond: 8 * MIB } as const;
    const migration = await beginMigration(pair.a, VM, request);
    await migration.reaches('copying');
    const fill = 'head -c 79m /dev/zero > /dev/shm/full 2>/dev/null || true';
    execFileSync('nsenter', ['--target', String(pair.b.host.pid), '--mount', 'sh', '-c', fill]);
    const { report } = await migration.ended;
    expect(report).toMatchObject({ outcome: 'failed', owner: 'a', error: { code: 'GW_SYS_NO_ROOM' } });
    await runsIntact(pair, VM, pair.a);
  });

  test("no QEMU: neither the source's nor one of the usual name", async () => {
    using tools = new TempDirectory();
    for (const tool of ['uname', 'dirname', 'readlink', 'sh', 'setsid'])
      symlinkSync(findBinary(tool), tools.join(tool));
    await using pair = await HostPair.open({}, { env: { PATH: tools.path } });
    const qemu = tools.join('my-qemu');
    symlinkSync(findBinary(TEST_QEMU), qemu);
    await createTinyVm(pair.a, { name: VM, qemu });
    unlinkSync(qemu);
    const result = await pair.a.host.cli(['migrate', VM, '--to', pair.b.host.migration, '--json']);
    expect(result.status).not.toBe(0);
    expect(result.json).toMatchObject({
      owner: 'a',
      error: { message: expect.stringContaining('qemu-system-x86_64') },
    });
    await runsIntact(pair, VM, pair.a);
  });

  test('a command line that cannot be carried over: said before a QEMU is started, and by a check', async () => {
    await using pair = await HostPair.open();
    await createTinyVm(pair.a, { name: VM, qemuArgs: ['-netdev', 'user,id=n0', '-set', 'netdev.n0.restrict=on'] });
    const told =
      /-set netdev\.n0\.restrict=on: it changes an option behind the checks .* \(give the value in the option itself\)/;
    const check = await pair.a.host.cli(['check', VM, '--to', pair.b.host.migration, '--json']);
    expect(check).toMatchObject({ status: 3, json: { ok: false } });
    expect(JSON.stringify(check.json.blockers)).toMatch(told);
    const result = await pair.a.host.cli(['migrate', VM, '--to', pair.b.host.migration, '--json']);
    expect(result).toMatchObject({ status: 3, json: { outcome: 'refused', owner: 'a' } });
    expect(result.json.error.message).toMatch(told);
    await runsIntact(pair, VM, pair.a);
  });

  test("files of the VM that the destination has not: QEMU's own words", async () => {
    await using pair = await HostPair.open();
    await createTinyVm(pair.a, { name: VM });
    unlinkSync(pair.a.host.directory.join('tiny.bin'));
    const result = await pair.a.host.cli(['migrate', VM, '--to', pair.b.host.migration, '--json']);
    expect(result.status).not.toBe(0);
    expect(result.json).toMatchObject({ owner: 'a', error: { message: expect.stringContaining('tiny.bin') } });
    await runsIntact(pair, VM, pair.a);
  });
});
