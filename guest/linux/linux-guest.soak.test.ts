import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { checkLeaks } from '../../test/support/leak-check.ts';
import { type LinuxVm, startLinuxVm } from '../../test/support/linux-vm.ts';
import { within } from '../../test/support/wait-until.ts';
import { readComplaints, readHeartbeats } from './console.ts';

checkLeaks();

const PAGE_BYTES = 4096;
const MAGIC = Buffer.from('GODWITPG', 'latin1');
/** Nothing is written, nothing is verified unless the test says so. */
const STILL = { fillMiB: 16, workingSetMiB: 1, rate: 0, check: 'off' } as const;

requireCapability('vm')('the sample Linux guest', () => {
  test.each([
    { machine: 'q35', memoryMiB: 128, vcpus: 1 },
    { machine: 'pc', memoryMiB: 512, vcpus: 2 },
    { machine: 'q35', memoryMiB: 2048, vcpus: 2 },
  ])('$machine with $memoryMiB MiB and $vcpus vCPUs boots in 10 s, keeps its memory, goes down when asked', async (machine) => {
    await using vm = await startLinuxVm(machine);
    await vm.heartbeat(1, 10_000);
    await vm.waitForConsole(/memory intact: pass 1 .*/);
    expect(await vm.command('check', /check: .*/)).toMatch(/memory intact, 12288 pages/);
    expect(readComplaints(vm.console)).toEqual([]);
    const gone = within('QEMU is gone', vm.qmp.closed, 10_000);
    await vm.qmp.execute('system_powerdown');
    await gone;
    expect(vm.console).toContain('Power down');
  });

  test('its heartbeat tells the time, once a second', async () => {
    await using vm = await startLinuxVm({ workload: STILL });
    const beat = await vm.heartbeat(4);
    // The guest takes its time from the clock chip, which has whole seconds.
    expect(Math.abs(beat.wallSeconds - Date.now() / 1000)).toBeLessThan(2);
    const beats = readHeartbeats(vm.console);
    expect(beats.map(({ number }) => number)).toEqual(beats.map((_, index) => index + 1));
    expect(beats[3]!.uptimeSeconds - beats[0]!.uptimeSeconds).toBeCloseTo(3, 0);
    expect(beats[3]!.wallSeconds - beats[0]!.wallSeconds).toBeCloseTo(3, 0);
  });

  test('it writes as many pages a second as it is told to, and stops when told to', async () => {
    await using vm = await startLinuxVm({ workload: { ...STILL, rate: 1000, threads: 2 } });
    const first = await vm.heartbeat(2);
    const second = await vm.heartbeat(first.number + 3);
    const rate = (second.work - first.work) / (second.uptimeSeconds - first.uptimeSeconds);
    expect(rate).toBeGreaterThan(800);
    expect(rate).toBeLessThan(1100);
    await vm.command('set rate 0', /set rate 0/);
    const third = await vm.heartbeat(second.number + 2);
    const fourth = await vm.heartbeat(third.number + 2);
    expect(fourth.work).toBe(third.work);
  });

  test.each(['words', 'page', 'rewrite'] as const)('it verifies what it writes in mode %s', async (mode) => {
    await using vm = await startLinuxVm({
      workload: { fillMiB: 32, workingSetMiB: 16, rate: 'max', mode, check: 'max' },
    });
    await vm.waitForConsole(/memory intact: pass 3 .*/);
    expect(readComplaints(vm.console)).toEqual([]);
  });

  test('memory that it does not have is refused in words', async () => {
    await using vm = await startLinuxVm({ memoryMiB: 128, workload: { fillMiB: 512 } });
    await within('QEMU is gone', vm.qmp.closed, 20_000);
    expect(vm.console).toContain('error: godwit.workload: fill needs 512 MiB, more than this machine has free');
  });

  test.each([
    { damage: 'one bit of its body', verdict: 'torn in its body', apply: flipBit(2000) },
    { damage: 'one bit of its header', verdict: 'torn in its header', apply: flipBit(17) },
    { damage: 'all of it', verdict: 'lost (all zero)', apply: (page: Buffer) => page.fill(0) },
    { damage: 'its magic word', verdict: 'alien', apply: flipBit(0) },
  ])('it notices the loss of $damage, from outside', async ({ verdict, apply }) => {
    await using vm = await startLinuxVm({ workload: STILL });
    await vm.heartbeat(1);
    await vm.qmp.execute('stop');
    using ram = new WorkloadMemory(vm);
    ram.change(1234, apply);
    await vm.qmp.execute('cont');
    expect(await vm.command('check', /check: .*/)).toContain('memory CORRUPT, 1 of 4096 pages');
    expect(readComplaints(vm.console)[0]).toMatch(/^memory CORRUPT page 1234: /);
    expect(readComplaints(vm.console)[0]).toContain(verdict);
  });

  test('it notices a page that went back to what it was before', async () => {
    await using vm = await startLinuxVm({ workload: { ...STILL, workingSetMiB: 16, check: 'off' } });
    await vm.heartbeat(1);
    await vm.qmp.execute('stop');
    using ram = new WorkloadMemory(vm);
    const old = ram.read(77);
    await vm.qmp.execute('cont');
    await vm.command('set rate max', /set rate max/);
    await vm.heartbeat(3);
    await vm.command('set rate 0', /set rate 0/);
    await vm.heartbeat(5);
    await vm.qmp.execute('stop');
    ram.change(77, (page) => old.copy(page));
    await vm.qmp.execute('cont');
    await vm.command('check', /check: memory CORRUPT, 1 of .*/);
    expect(readComplaints(vm.console)[0]).toMatch(/page 77: stale .*generation 0, must be [1-9]/);
  });

  test('it notices a page that holds another page', async () => {
    await using vm = await startLinuxVm({ workload: STILL });
    await vm.heartbeat(1);
    await vm.qmp.execute('stop');
    using ram = new WorkloadMemory(vm);
    const other = ram.read(501);
    ram.change(500, (page) => other.copy(page));
    await vm.qmp.execute('cont');
    await vm.command('check', /check: memory CORRUPT, 1 of .*/);
    expect(readComplaints(vm.console)[0]).toMatch(/page 500: misplaced .*page number 501/);
  });

  test('a writer does not hide a page that was lost by writing it again', async () => {
    await using vm = await startLinuxVm({ workload: { ...STILL, rate: 'max' } });
    await vm.heartbeat(1);
    await vm.qmp.execute('stop');
    using ram = new WorkloadMemory(vm);
    ram.change(100, (page) => page.fill(0));
    await vm.qmp.execute('cont');
    await vm.waitForConsole(/memory CORRUPT page 100: lost/);
  });
});

function flipBit(byte: number): (page: Buffer) => void {
  return (page) => {
    page[byte]! ^= 1;
  };
}

/** The workload's pages, found in QEMU's RAM file by what they carry. */
class WorkloadMemory implements Disposable {
  readonly #fd: number;
  readonly #offsets = new Map<number, number>();

  constructor(vm: LinuxVm) {
    this.#fd = openSync(vm.ramPath, 'r+');
    const chunk = Buffer.alloc(2 ** 20);
    for (let at = 0; at < vm.ramBytes; at += chunk.length) {
      readSync(this.#fd, chunk, 0, chunk.length, at);
      for (let page = 0; page < chunk.length; page += PAGE_BYTES) {
        if (!MAGIC.equals(chunk.subarray(page, page + MAGIC.length))) continue;
        this.#offsets.set(Number(chunk.readBigUInt64LE(page + 8)), at + page);
      }
    }
  }

  read(number: number): Buffer {
    const page = Buffer.alloc(PAGE_BYTES);
    readSync(this.#fd, page, 0, PAGE_BYTES, this.#offsetOf(number));
    return page;
  }

  change(number: number, apply: (page: Buffer) => void): void {
    const page = this.read(number);
    apply(page);
    writeSync(this.#fd, page, 0, PAGE_BYTES, this.#offsetOf(number));
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }

  #offsetOf(number: number): number {
    const offset = this.#offsets.get(number);
    if (offset === undefined) throw new Error(`Page ${number} of the workload is nowhere in the RAM file`);
    return offset;
  }
}
