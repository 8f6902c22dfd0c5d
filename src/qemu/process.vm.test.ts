import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { requireCapability, TEST_QEMU } from '../../test/support/capability.ts';
import { checkLeaks, listProcesses } from '../../test/support/leak-check.ts';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { startTinyVm } from '../../test/support/tiny-vm.ts';
import { identifyProcess, isAlive, parentOf } from '../linux/process.ts';
import { probeQemuBinary } from './binary.ts';
import { killQemu, type StartOptions, startQemu } from './process.ts';
import { QmpClient } from './qmp.ts';

const describe = requireCapability('vm');

describe('a QEMU process', () => {
  checkLeaks();

  const options = (directory: TempDirectory, args: readonly string[]): StartOptions => ({
    binary: TEST_QEMU,
    args: [...args, '-nodefaults', '-display', 'none', '-qmp', `unix:${directory.join('qmp')},server=on,wait=off`],
    logPath: directory.join('log'),
    qmpPath: directory.join('qmp'),
    ramPaths: [],
  });

  test('is no child of this process and leads a session of its own', async () => {
    await using vm = await startTinyVm();
    expect(parentOf(vm.pid)).not.toBe(process.pid);
    const session = readFileSync(`/proc/${vm.pid}/stat`, 'utf8').split(') ')[1]?.split(' ')[3];
    expect(Number(session)).toBe(vm.pid);
  });

  test('is found again by its identity', async () => {
    await using vm = await startTinyVm();
    expect(identifyProcess(vm.pid)).toEqual(vm.identity);
  });

  test('keeps no name for its RAM', async () => {
    await using vm = await startTinyVm();
    expect(readdirSync('/dev/shm').filter((name) => name.includes(vm.directory.path.split('/').at(-1) ?? ''))).toEqual(
      [],
    );
  });

  test('survives a reboot of its guest', async () => {
    await using vm = await startTinyVm();
    const reset = vm.qmp.waitForEvent('RESET');
    await vm.qmp.execute('system_reset');
    await reset;
    await vm.guest.passes(2);
    expect(isAlive(vm.identity)).toBe(true);
  });

  test('is gone after it was killed', async () => {
    await using vm = await startTinyVm();
    expect(await killQemu(vm.identity)).toBe(true);
    expect(isAlive(vm.identity)).toBe(false);
    await vm.qmp.closed;
  });

  test.each([
    ['/no/such/qemu', 'is not there or may not be run'],
    ['qemu-system-nothing', 'is not in PATH'],
  ])('cannot be started from %s', async (binary, reason) => {
    using directory = new TempDirectory();
    await expect(startQemu({ ...options(directory, []), binary })).rejects.toMatchObject({
      code: 'GW_QEMU_START',
      message: expect.stringContaining(reason),
    });
  });

  test.each([
    [['-frobnicate'], 'invalid option'],
    [['-machine', 'pc-q35-99.9'], 'unsupported machine type'],
    [['-accel', 'tcg', '-cpu', 'z80'], "unable to find CPU model 'z80'"],
    [['-device', 'virtio-blk-pci,drive=nothing'], "can't find value 'nothing'"],
    [['-kernel', '/no/kernel'], "could not open kernel file '/no/kernel'"],
    [
      [
        '-m',
        '64M',
        '-object',
        'memory-backend-file,id=r,size=64M,mem-path=/no/dir/ram,share=on',
        '-machine',
        'q35,memory-backend=r',
      ],
      '/no/dir/ram',
    ],
  ])('that refuses %j says so in its own words', async (args, words) => {
    using directory = new TempDirectory();
    await expect(startQemu(options(directory, args))).rejects.toMatchObject({
      code: 'GW_QEMU_START',
      message: expect.stringMatching(new RegExp(words, 'i')),
    });
  });

  test('that is no QEMU leaves nothing behind', async () => {
    using directory = new TempDirectory();
    const binary = directory.join('sleeper');
    writeFileSync(binary, '#!/bin/sh\nexec sleep 60\n', { mode: 0o755 });
    const before = listProcesses().length;
    await expect(startQemu({ ...options(directory, []), binary, timeoutMs: 300 })).rejects.toMatchObject({
      code: 'GW_QEMU_START',
      message: 'QEMU did not start: it does not answer on its QMP socket',
    });
    expect(listProcesses()).toHaveLength(before);
  });

  test('that has ended before anybody looks leaves no RAM file', async () => {
    using directory = new TempDirectory();
    const ram = directory.join('ram');
    // How soon it is looked at is up to the machine.
    for (let i = 0; i < 20; i++) {
      writeFileSync(ram, '');
      await expect(
        startQemu({ ...options(directory, []), binary: '/bin/true', ramPaths: [ram] }),
      ).rejects.toMatchObject({ code: 'GW_QEMU_START' });
      expect(existsSync(ram)).toBe(false);
    }
  });

  test('that is not waited for any longer leaves nothing behind', async () => {
    using directory = new TempDirectory();
    const ramPath = directory.join('ram');
    const reason = new Error('cancelled');
    const object = `memory-backend-file,id=r,size=64M,mem-path=${ramPath},share=on`;
    const starting = options(directory, ['-S', '-m', '64M', '-object', object, '-machine', 'q35,memory-backend=r']);
    const signal = AbortSignal.abort(reason);
    await expect(startQemu({ ...starting, ramPaths: [ramPath], signal })).rejects.toBe(reason);
    expect(existsSync(ramPath)).toBe(false);
  });

  test('serves one QMP client at a time, and the second is told so', async () => {
    await using vm = await startTinyVm();
    await expect(QmpClient.connect(vm.qmpPath, { timeoutMs: 200 })).rejects.toMatchObject({ code: 'GW_QMP_BUSY' });
    vm.qmp.close();
    using next = await QmpClient.connect(vm.qmpPath);
    expect(await next.execute('query-status')).toMatchObject({ running: true });
  });

  test('that dies rejects what waits for it', async () => {
    await using vm = await startTinyVm();
    const event = vm.qmp.waitForEvent('NEVER');
    const refused = expect(event).rejects.toMatchObject({ code: 'GW_QMP_CLOSED' });
    await killQemu(vm.identity);
    await refused;
  });

  test('binary says what it can do', async () => {
    const binary = await probeQemuBinary(TEST_QEMU);
    expect(binary.version).toMatch(/^\d+\.\d+\.\d+$/);
    expect(binary.accels).toContain('tcg');
    expect(binary.machines).toEqual(expect.arrayContaining(['q35', 'pc', 'pc-q35-7.2']));
  });
});
