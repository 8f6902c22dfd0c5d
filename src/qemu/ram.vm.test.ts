import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { requireCapability, TEST_QEMU } from '../../test/support/capability.ts';
import { checkLeaks } from '../../test/support/leak-check.ts';
import { TempDirectory } from '../../test/support/temp-directory.ts';
import { startTinyVm } from '../../test/support/tiny-vm.ts';
import { RamFile } from '../linux/ram-file.ts';
import { killQemu, type StartedQemu, startQemu } from './process.ts';
import { findGuestRam, inspectRam } from './ram.ts';

const describe = requireCapability('vm');
const MIB = 2 ** 20;

class BareQemu implements AsyncDisposable {
  readonly #directory: TempDirectory;
  readonly started: StartedQemu;

  private constructor(directory: TempDirectory, started: StartedQemu) {
    this.#directory = directory;
    this.started = started;
  }

  static async start(args: readonly string[]): Promise<BareQemu> {
    const directory = new TempDirectory();
    const qmpPath = directory.join('qmp');
    const quiet = ['-nodefaults', '-display', 'none', '-S', '-qmp', `unix:${qmpPath},server=on,wait=off`];
    const logPath = directory.join('log');
    try {
      const started = await startQemu({ binary: TEST_QEMU, args: [...args, ...quiet], logPath, qmpPath, ramPaths: [] });
      return new BareQemu(directory, started);
    } catch (error) {
      directory[Symbol.dispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.started.qmp.close();
    await killQemu(this.started.identity);
    this.#directory[Symbol.dispose]();
  }
}

describe("the guest's RAM", () => {
  checkLeaks();

  test('is one shared named region of the size that was asked for', async () => {
    await using vm = await startTinyVm({ memoryMiB: 48 });
    expect(await findGuestRam(vm.qmp, vm.pid)).toEqual([
      {
        id: 'ram0',
        bytes: 48 * MIB,
        hostAddress: expect.anything(),
        fdPath: expect.stringMatching(`^/proc/${vm.pid}/fd/\\d+$`),
        shared: true,
        named: true,
        pageSize: 4096,
      },
    ]);
  });

  test('seen through the file is what QEMU sees', async () => {
    await using vm = await startTinyVm();
    const [region] = await findGuestRam(vm.qmp, vm.pid);
    using ram = RamFile.open(region!.fdPath, region!.bytes);
    const words = Buffer.from('godwit was here!');
    const offset = region!.bytes - 8192 + 5;
    ram.write(offset, words);
    const saved = vm.directory.join('saved');
    await vm.qmp.execute('pmemsave', { val: offset, size: words.length, filename: saved });
    expect(readFileSync(saved)).toEqual(words);
  });

  test('lies in QEMU where it says', async () => {
    await using vm = await startTinyVm();
    const [region] = await findGuestRam(vm.qmp, vm.pid);
    const answer = await vm.qmp.execute<string>('human-monitor-command', { 'command-line': 'gpa2hva 0x100000' });
    expect(answer).toContain(`0x${(region!.hostAddress + 0x100000n).toString(16)}`);
  });

  test('in two memfds of one size is told apart', async () => {
    await using qemu = await BareQemu.start([
      ...['-machine', 'q35', '-accel', 'tcg', '-smp', '2', '-m', '64M'],
      ...['-object', 'memory-backend-memfd,id=low,size=32M,share=on', '-numa', 'node,memdev=low,cpus=0'],
      ...['-object', 'memory-backend-memfd,id=high,size=32M,share=on', '-numa', 'node,memdev=high,cpus=1'],
    ]);
    const { qmp, identity } = qemu.started;
    const [first, second] = await findGuestRam(qmp, identity.pid);
    expect([first?.id, second?.id, first?.named]).toEqual(['low', 'high', false]);
    using low = RamFile.open(first!.fdPath, 32 * MIB);
    using high = RamFile.open(second!.fdPath, 32 * MIB);
    low.write(0x200000, Buffer.from('low!'));
    high.write(0x200000, Buffer.from('high'));
    const read = async (address: number): Promise<string> =>
      await qmp.execute<string>('human-monitor-command', { 'command-line': `xp /4cb ${address}` });
    expect(await read(0x200000)).toContain("'l' 'o' 'w' '!'");
    expect(await read(32 * MIB + 0x200000)).toContain("'h' 'i' 'g' 'h'");
  });

  test.each([
    ['QEMU makes by itself', ['-m', '32M'], 'pc.ram', 'memory-backend-ram'],
    [
      'is a private file',
      [
        '-m',
        '32M',
        '-object',
        'memory-backend-file,id=p,size=32M,mem-path=/dev/shm,share=off',
        '-machine',
        'memory-backend=p',
      ],
      'p',
      'memory-backend-file',
    ],
  ])('that %s is no region', async (_, args, id, type) => {
    await using qemu = await BareQemu.start(['-machine', 'q35', '-accel', 'tcg', ...args]);
    const { qmp, identity } = qemu.started;
    expect(await inspectRam(qmp, identity.pid)).toEqual({
      ram: [{ id, bytes: 32 * MIB, type, shared: false, place: null }],
      shared: [],
    });
    await expect(findGuestRam(qmp, identity.pid)).rejects.toMatchObject({ code: 'GW_MIGRATION_BLOCKED' });
  });
});
