/** VMs of one host that share memory: real daemons, real QEMUs. */
import { existsSync, readdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { startHost, type TestHost } from '../../test/support/godwit-host.ts';
import { checkLeaks } from '../../test/support/leak-check.ts';
import { CALM, startTinyVm, type TinyVm, tinyVmBody } from '../../test/support/tiny-vm.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import type { VmSpecInput, VmView } from '../api/vm-schema.ts';
import { hasCode } from '../base/errors.ts';
import { GodwitClient } from '../client/godwit-client.ts';
import { identifyFile, mapsFile } from '../linux/file-users.ts';
import { identifyProcess, signalProcess } from '../linux/process.ts';
import { RamFile } from '../linux/ram-file.ts';
import { surveyVm } from '../qemu/survey.ts';

checkLeaks();

const MIB = 2 ** 20;
const refusedWith = (code: string): Error => expect.toSatisfy((error) => hasCode(error, code as never)) as Error;

class SharingHost implements AsyncDisposable {
  readonly host: TestHost;
  readonly client: GodwitClient;

  private constructor(host: TestHost) {
    this.host = host;
    this.client = new GodwitClient({ url: host.api });
  }

  static async start(): Promise<SharingHost> {
    return new SharingHost(await startHost({ name: 'a' }));
  }

  create(name: string, sharedMemory: VmSpecInput['sharedMemory'], changes: Partial<VmSpecInput> = {}): Promise<VmView> {
    return this.client.createVm({
      ...tinyVmBody(this.host.directory, { name, guest: CALM }),
      sharedMemory,
      ...changes,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.close();
    await this.host[Symbol.asyncDispose]();
  }
}

/** A VM that shares a file of its maker's, under names of his own, until it is disposed of. */
async function startForeign(path: string, device: string): Promise<TinyVm> {
  const object = `memory-backend-file,id=theirs,size=1M,mem-path=${path},share=on`;
  return startTinyVm({ adoptable: true, guest: CALM, qemuArgs: ['-object', object, '-device', device] });
}

function foreignPath(): Disposable & { readonly path: string } {
  const path = `/dev/shm/gwt-${process.pid}-their.bus`;
  return { path, [Symbol.dispose]: () => rmSync(path, { force: true }) };
}

requireCapability('vm')('VMs that share memory', () => {
  test('map one file, which keeps its contents through a restart of the daemon and goes with the last', async () => {
    await using at = await SharingHost.start();
    const a = await at.create('a', [{ name: 'bus', size: '1MiB' }]);
    const b = await at.create('b', [
      { name: 'bus', size: MIB },
      { name: 'log', size: '2MiB' },
    ]);
    const [region] = b.sharedMemory;
    expect(a).toMatchObject({
      state: 'running',
      memoryBytes: 64 * MIB,
      sharedMemory: [{ name: 'bus', sharedWith: [] }],
    });
    expect(b.sharedMemory).toMatchObject([
      { name: 'bus', sizeBytes: MIB, sharedWith: ['a'] },
      { name: 'log', sizeBytes: 2 * MIB, sharedWith: [] },
    ]);
    const file = identifyFile(region!.path)!;
    expect([a, b].map(({ pid }) => mapsFile(pid!, file))).toEqual([true, true]);
    using seenBefore = RamFile.open(region!.path, MIB);
    seenBefore.write(4096, Buffer.from('kept'));

    await at.host.stop();
    await at.host.start();
    expect(await at.client.showVm('a')).toMatchObject({ sharedMemory: [{ name: 'bus', sharedWith: ['b'] }] });
    const c = await at.create('c', [{ name: 'bus', size: '1MiB' }]);
    expect(mapsFile(c.pid!, file)).toBe(true);
    const seen = Buffer.alloc(4);
    seenBefore.read(4096, seen);
    expect(seen.toString()).toBe('kept');

    expect(await at.client.listGroups()).toMatchObject([
      {
        name: 'bus',
        regions: [
          { name: 'bus', vms: ['a', 'b', 'c'] },
          { name: 'log', vms: ['b'] },
        ],
      },
    ]);
    for (const name of ['a', 'b', 'c']) {
      expect(existsSync(region!.path)).toBe(true);
      expect((await at.client.actOnVm(name, 'kill')).sharedMemory).toEqual([]);
    }
    expect(existsSync(region!.path)).toBe(false);
    expect(await at.client.listGroups()).toEqual([]);
  });

  test('that are killed from outside have it no more, also while no daemon is there', async () => {
    await using at = await SharingHost.start();
    const regions = [{ name: 'bus', size: MIB }];
    const [a, b, c] = [await at.create('a', regions), await at.create('b', regions), await at.create('c', regions)];
    const { path } = a.sharedMemory[0]!;
    signalProcess(identifyProcess(a.pid!)!, 'SIGKILL');
    await expect
      .poll(async () => (await at.client.showVm('b')).sharedMemory[0]?.sharedWith, { timeout: 10_000 })
      .toEqual(['c']);
    await at.host.kill();
    signalProcess(identifyProcess(b.pid!)!, 'SIGKILL');
    await waitUntil('it has ended', () => identifyProcess(b.pid!) === undefined);
    await at.host.start();
    expect((await at.client.showVm('c')).sharedMemory).toMatchObject([{ sharedWith: [] }]);
    await at.host.stop();
    signalProcess(identifyProcess(c.pid!)!, 'SIGKILL');
    await waitUntil('it has ended', () => identifyProcess(c.pid!) === undefined);
    expect(existsSync(path)).toBe(true);
    await at.host.start();
    expect(existsSync(path)).toBe(false);
  });

  test('are refused another size, a lost file and a lack of room, and then leave nothing', async () => {
    await using at = await SharingHost.start();
    const a = await at.create('a', [{ name: 'bus', size: '1MiB' }]);
    await expect(at.create('b', [{ name: 'bus', size: '2MiB' }])).rejects.toThrow(
      /sharedMemory\[0\]\.size: 2\.0 MiB is not valid: VM a has the shared memory bus with 1\.0 MiB: give VM b/,
    );
    const { bavail, bsize } = statfsSync('/dev/shm');
    const tooLarge = 2 ** Math.ceil(Math.log2(bavail * bsize));
    await expect(at.create('b', [{ name: 'large', size: tooLarge }])).rejects.toThrow(
      /Not enough room in \/dev\/shm on host a: .* of it to be shared with other VMs\) needed/,
    );
    await expect(
      at.create('b', [{ name: 'log', size: '1MiB' }], { qemuArgs: ['-device', 'no-such-device'] }),
    ).rejects.toThrow(refusedWith('GW_QEMU_START'));
    expect(readdirSync('/dev/shm').filter((name) => /-(large|log)$/.test(name))).toEqual([]);
    rmSync(a.sharedMemory[0]!.path);
    await expect(at.create('b', [{ name: 'bus', size: '1MiB' }])).rejects.toThrow(refusedWith('GW_REGION_UNUSABLE'));
    expect((await at.client.listVms()).map(({ name }) => name)).toEqual(['a']);
    expect(await at.client.showGroup('bus')).toMatchObject({
      regions: [{ problem: expect.stringContaining('is gone') }],
    });
  });

  test('are shown with their memory, and told how they move', async () => {
    await using at = await SharingHost.start();
    await at.create('a', [
      { name: 'bus', size: '1MiB' },
      { name: 'alarm', size: '1MiB' },
    ]);
    const b = await at.create('b', [{ name: 'bus', size: '1MiB' }]);
    const { path } = b.sharedMemory[0]!;
    expect((await at.host.cli(['vm', 'show', 'b'])).stdout).toContain(
      `shared memory bus, 1.0 MiB, with a, in ${path}\n`,
    );
    expect((await at.host.cli(['group', 'list'])).stdout).toMatch(/^alarm +alarm, bus +2\.0 MiB +a, b +-$/m);
    const shown = (await at.host.cli(['group', 'show', 'bus'])).stdout;
    expect(shown).toContain('group alarm\n');
    expect(shown).toMatch(new RegExp(`^b +running +${b.pid}$`, 'm'));
    expect(shown).not.toContain('Strangers');
    expect(await at.host.cli(['group', 'show', 'none'])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('There is no group named none'),
    });

    const migrate = await at.host.cli(['migrate', 'b', '--to', '127.0.0.1:1']);
    expect(migrate.status).toBe(3);
    expect(migrate.stderr).toMatch(/VM b cannot be migrated: it is a member of group alarm: .* alarm, bus with a/);
    expect(migrate.stderr).toContain('godwit group migrate alarm --to 127.0.0.1:1');
    const check = await at.host.cli(['check', 'b', '--to', '127.0.0.1:1', '--json']);
    expect(check).toMatchObject({ status: 3, json: { outcome: 'refused' } });
    expect(check.json.blockers[0]).toMatchObject({ id: 'shared-memory', what: 'bus' });
    expect(await at.client.showVm('b')).toMatchObject({ state: 'running', migration: null });
  });

  test('may have a stranger among them, which is found and named', async () => {
    await using at = await SharingHost.start();
    const { sharedMemory } = await at.create('a', [{ name: 'bus', size: '1MiB' }]);
    const { path } = sharedMemory[0]!;
    {
      await using stranger = await startForeign(path, 'ivshmem-plain,memdev=theirs');
      const { strangers, vms } = await at.client.showGroup('bus');
      expect(vms).toMatchObject([{ name: 'a', state: 'running' }]);
      expect(strangers).toEqual([
        { pid: stranger.pid, region: 'bus', use: 'maps', command: expect.stringContaining('qemu-system') },
      ]);
      expect((await at.host.cli(['group', 'show', 'bus'])).stdout).toMatch(
        new RegExp(`^Strangers:[^]*^ *${stranger.pid}  bus     maps  .*qemu-system`, 'm'),
      );
      // It is none any more once the host has it.
      const request = { name: 'b', pid: stranger.pid, qmp: stranger.adoptQmpPath };
      expect(await at.client.adoptVm(request)).toMatchObject({ sharedMemory: [{ name: 'bus', sharedWith: ['a'] }] });
      expect(await at.client.showGroup('bus')).toMatchObject({ strangers: [], vms: [{ name: 'a' }, { name: 'b' }] });
    }
    await expect
      .poll(async () => (await at.client.showGroup('bus')).vms.map(({ name }) => name), { timeout: 10_000 })
      .toEqual(['a']);
    expect(existsSync(path)).toBe(true);
  });

  test('of somebody else are recognised by the file, which is not part of their RAM and stays', async () => {
    using file = foreignPath();
    await using first = await startForeign(file.path, 'ivshmem-plain,id=iv,memdev=theirs,master=on');
    await using second = await startForeign(file.path, 'ivshmem-plain,memdev=theirs,master=on');
    const survey = await surveyVm(first.qmp, first.pid);
    expect(survey.ram.map(({ id }) => id)).toEqual(['ram0']);
    const { device, inode } = identifyFile(file.path)!;
    expect(survey.regions).toMatchObject([{ id: 'theirs', name: basename(file.path), bytes: MIB, device, inode }]);
    using memory = RamFile.open(survey.regions[0]!.fdPath, MIB);
    memory.write(0, Buffer.from('ours'));
    expect(readFileSync(file.path).subarray(0, 4).toString()).toBe('ours');
    expect(survey.blockers).toMatchObject([{ id: 'shared-memory' }]);

    await using at = await SharingHost.start();
    for (const [name, { pid, adoptQmpPath: qmp }] of [
      ['x', first],
      ['y', second],
    ] as const) {
      const adopted = await at.client.adoptVm({ name, pid, qmp });
      expect(adopted).toMatchObject({ memoryBytes: 64 * MIB, notes: [], sharedMemory: [{ path: file.path }] });
    }
    await at.host.kill();
    await at.host.start();
    expect(await at.client.showVm('y')).toMatchObject({ sharedMemory: [{ sharedWith: ['x'] }] });
    for (const name of ['x', 'y']) await at.client.actOnVm(name, 'kill');
    expect(existsSync(file.path)).toBe(true);
    expect(await at.client.listGroups()).toEqual([]);
  });

  test('by arguments of their own are recognised as well', async () => {
    using file = foreignPath();
    await using at = await SharingHost.start();
    const object = `memory-backend-file,id=mine,size=1M,mem-path=${file.path},share=on`;
    const qemuArgs = ['-object', object, '-device', 'ivshmem-plain,memdev=mine,master=on'];
    expect(await at.create('a', [], { qemuArgs })).toMatchObject({
      sharedMemory: [{ path: file.path, sharedWith: [] }],
    });
  });

  test('records of before say nothing of shared memory and are read', async () => {
    await using at = await SharingHost.start();
    await at.create('a', []);
    await at.host.stop();
    const path = at.host.directory.join('state', 'vms', 'a', 'vm.json');
    const { spec, ...record } = JSON.parse(readFileSync(path, 'utf8'));
    const { sharedMemory: _none, ...before } = spec;
    writeFileSync(path, JSON.stringify({ ...record, spec: before }));
    rmSync(at.host.directory.join('state', 'regions.json'), { force: true });
    await at.host.start();
    expect(await at.client.showVm('a')).toMatchObject({ state: 'running', sharedMemory: [] });
  });
});
