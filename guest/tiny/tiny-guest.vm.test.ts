import { randomInt } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { type Capability, requireCapability } from '../../test/support/capability.ts';
import { checkLeaks } from '../../test/support/leak-check.ts';
import { readThreadTime } from '../../test/support/thread-time.ts';
import { BUSY, CALM, startTinyVm, type TinyVmOptions } from '../../test/support/tiny-vm.ts';
import { waitUntil } from '../../test/support/wait-until.ts';
import { PAGE_BYTES } from './layout.ts';

checkLeaks();

type Variant = Required<Pick<TinyVmOptions, 'accel' | 'machine' | 'memoryMiB' | 'vcpus'>> & {
  readonly mode: 'long3' | 'prot32';
};

const TCG: Variant[] = [
  { accel: 'tcg', mode: 'long3', machine: 'q35', memoryMiB: 64, vcpus: 1 },
  { accel: 'tcg', mode: 'prot32', machine: 'q35', memoryMiB: 64, vcpus: 1 },
  { accel: 'tcg', mode: 'prot32', machine: 'pc', memoryMiB: 16, vcpus: 2 },
  { accel: 'tcg', mode: 'long3', machine: 'pc', memoryMiB: 1024, vcpus: 2 },
];
const KVM: Variant[] = [
  { accel: 'kvm', mode: 'long3', machine: 'q35', memoryMiB: 64, vcpus: 1 },
  { accel: 'kvm', mode: 'long3', machine: 'pc', memoryMiB: 16, vcpus: 2 },
  { accel: 'kvm', mode: 'long3', machine: 'q35', memoryMiB: 1024, vcpus: 2 },
  { accel: 'kvm', mode: 'prot32', machine: 'q35', memoryMiB: 64, vcpus: 1 },
];
const PAGE_COUNT = 2048;
const RANDOM_STOPS = 20;

describeTinyGuest('the tiny guest under TCG', ['vm'], TCG);
describeTinyGuest('the tiny guest under KVM', ['vm', 'kvm'], KVM);

requireCapability('vm')('a tiny guest that rests', () => {
  test.each(['q35', 'pc'])('on %s needs little of a CPU, and its invariant holds at any stop', async (machine) => {
    await using vm = await startTinyVm({ machine, vcpus: 2, guest: { ...CALM, restPages: 4, pageCount: 64 } });
    const [vcpu] = await vm.qmp.execute<{ 'thread-id': number }[]>('query-cpus-fast');
    const ranMs = () => readThreadTime(vm.pid, vcpu!['thread-id']).ranMs;
    const [fromMs, from] = [performance.now(), { ranMs: ranMs(), pages: vm.guest.counters.pagesWritten }];
    for (let stop = 0; stop < RANDOM_STOPS; stop++) {
      await vm.guest.pagesWritten(1 + randomInt(40));
      await vm.stop();
      expect(vm.guest.checkInvariant()).toEqual({ ok: true });
      await vm.resume();
    }
    const tookMs = performance.now() - fromMs;
    // Rests are never shorter than asked for, of the clock that stands while the VM does.
    expect(vm.guest.counters.pagesWritten - from.pages).toBeLessThan((tookMs / CALM.restMicroseconds) * 1000 * 4 + 4);
    expect(ranMs() - from.ranMs).toBeLessThan(tookMs / 2);
    vm.guest.change(BUSY);
    await vm.guest.pagesWritten(50_000);
  });
});

function describeTinyGuest(name: string, needed: Capability[], variants: Variant[]): void {
  requireCapability(...needed)(name, () => {
    test.each(
      variants,
    )('$mode on $machine, $memoryMiB MiB, $vcpus vCPUs: counts, and its invariant holds at any stop', async (variant) => {
      const { mode, ...machine } = variant;
      await using vm = await startTinyVm({ ...machine, guest: { mode, firstPage: 256, pageCount: PAGE_COUNT } });
      expect(vm.serial).toBe('B');
      const stops: number[] = [];
      for (let stop = 0; stop < RANDOM_STOPS; stop++) {
        await vm.guest.pagesWritten(1);
        await delay(randomInt(20));
        await vm.stop();
        const { pagesWritten } = vm.guest.counters;
        expect(vm.guest.checkInvariant()).toEqual({ ok: true });
        expect(vm.guest.counters.pagesWritten).toBe(pagesWritten);
        stops.push(pagesWritten);
        await vm.resume();
      }
      expect(stops).toEqual([...new Set(stops)].sort((a, b) => a - b));
    });

    const [{ mode, ...machine }] = variants as [Variant];

    test('one byte changed from outside breaks the invariant', async () => {
      await using vm = await startTinyVm({ ...machine, guest: { mode } });
      await vm.stop();
      const page = 1000;
      const byte = new Uint8Array(1);
      vm.guest.ram.read(page * PAGE_BYTES, byte);
      vm.guest.ram.write(page * PAGE_BYTES, Uint8Array.of((byte[0]! + 7) % 256));
      expect(vm.guest.checkInvariant()).toMatchObject({ ok: false });
      vm.guest.ram.write(page * PAGE_BYTES, byte);
      expect(vm.guest.checkInvariant()).toEqual({ ok: true });
    });

    test('a page that was not carried in its last version breaks the invariant', async () => {
      await using vm = await startTinyVm({ ...machine, guest: { mode, delay: 1000 } });
      const old = new Uint8Array(PAGE_BYTES);
      vm.guest.ram.read(777 * PAGE_BYTES, old);
      await vm.guest.passes(3);
      await vm.stop();
      vm.guest.ram.write(777 * PAGE_BYTES, old);
      expect(vm.guest.checkInvariant()).toMatchObject({ ok: false });
    });

    test('delay, write mode and heartbeat change while it runs, the range by a restart', async () => {
      await using vm = await startTinyVm({ ...machine, guest: { mode, pageCount: 1024 } });
      vm.guest.change({ heartbeatPasses: 1 });
      await vm.waitForSerial('B.');
      vm.guest.change({ heartbeatPasses: 0, delay: 100, writeMode: 'page' });
      const word = new Uint8Array(4);
      await waitUntil('the end of a page is written', () => {
        vm.guest.ram.read(300 * PAGE_BYTES + 4092, word);
        return word[2] === 300 >> 4 && word[1]! >> 4 === (300 & 0xf);
      });
      await vm.guest.restart({ firstPage: 2048, pageCount: 512, writeMode: 'byte' });
      expect(vm.guest.parameters).toMatchObject({ firstPage: 2048, pageCount: 512 });
      await vm.guest.passes(2);
      await vm.stop();
      expect(vm.guest.checkInvariant()).toEqual({ ok: true });
    });

    test('a delay makes it slower', async () => {
      await using vm = await startTinyVm({ ...machine, guest: { mode, pageCount: 64, delay: 1_000_000 } });
      const before = vm.guest.counters;
      await delay(100);
      const after = vm.guest.counters;
      expect(after.pagesWritten - before.pagesWritten).toBeLessThan(2000);
      vm.guest.change({ delay: 0 });
      await vm.guest.pagesWritten(50_000);
    });

    test.each([
      'page',
      'random',
    ] as const)('in write mode %s whole pages change and the invariant holds', async (writeMode) => {
      await using vm = await startTinyVm({ ...machine, guest: { mode, pageCount: 1024, writeMode } });
      await vm.guest.passes(2);
      await vm.stop();
      expect(vm.guest.checkInvariant()).toEqual({ ok: true });
      const [first, second] = [new Uint8Array(PAGE_BYTES), new Uint8Array(PAGE_BYTES)];
      vm.guest.ram.read(500 * PAGE_BYTES, first);
      vm.guest.ram.read(501 * PAGE_BYTES, second);
      expect(Buffer.compare(first.subarray(4), second.subarray(4))).not.toBe(0);
      const values = new Set(first.subarray(4)).size;
      expect(values > 200).toBe(writeMode === 'random');
    });

    test('in write mode page every page but the one being written is of one piece', async () => {
      await using vm = await startTinyVm({
        ...machine,
        guest: { mode, firstPage: 256, pageCount: 1024, writeMode: 'page' },
      });
      await vm.guest.passes(20);
      await vm.stop();
      const words = new Uint32Array((1024 * PAGE_BYTES) / 4);
      vm.guest.ram.read(256 * PAGE_BYTES, new Uint8Array(words.buffer));
      const torn = Array.from({ length: 1024 }, (_, index) => words.subarray(index * 1024, (index + 1) * 1024))
        .map((page, index) => page.subarray(1).every((word) => word === (256 + index) * PAGE_BYTES + (page[0]! & 0xff)))
        .filter((whole) => !whole);
      expect(torn.length).toBeLessThanOrEqual(1);
    });

    test('it fills a range with data of which no two pages are equal, half of each random', async () => {
      const fill = { firstPage: 4096, pageCount: 2048, randomWords: 512 };
      await using vm = await startTinyVm({ ...machine, guest: { mode, pageCount: 512, fill } });
      await vm.stop();
      const data = new Uint8Array(fill.pageCount * PAGE_BYTES);
      vm.guest.ram.read(fill.firstPage * PAGE_BYTES, data);
      const pages = Array.from({ length: fill.pageCount }, (_, index) =>
        Buffer.from(data.subarray(index * PAGE_BYTES, (index + 1) * PAGE_BYTES)),
      );
      expect(new Set(pages.map((page) => page.toString('latin1'))).size).toBe(fill.pageCount);
      expect(new Set(pages[7]!.subarray(0, 2048)).size).toBeGreaterThan(200);
      expect(new Set(pages[7]!.subarray(2048)).size).toBeLessThan(5);
      expect(vm.guest.ram.dataRuns()).toContainEqual({ first: fill.firstPage, count: fill.pageCount });
    });

    test.each(['byte', 'page', 'random'] as const)('tells its speed in write mode %s', async (writeMode) => {
      await using vm = await startTinyVm({ ...machine, guest: { mode, writeMode } });
      await vm.guest.passes(1);
      const [from, fromMs] = [vm.guest.counters.pagesWritten, performance.now()];
      await delay(300);
      const speed = ((vm.guest.counters.pagesWritten - from) / (performance.now() - fromMs)) * 1000;
      console.log(`${name}, ${writeMode}: ${Math.round(speed)} pages/s; QMP after ${Math.round(vm.startMs)} ms`);
    });
  });
}
