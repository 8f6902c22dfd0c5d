/** Migrations whose written pages are found by write faults: memory is whole in every mode, and nobody waits for ever. */
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { FIRST_USABLE_PAGE } from '../../guest/tiny/layout.ts';
import { readMappings } from '../../src/linux/process.ts';
import { RamLayout } from '../../src/memory/layout.ts';
import { GroupDirtyTracker } from '../../src/migration/group-tracker.ts';
import type { MigrationMode } from '../../src/migration/request.ts';
import { type Capability, requireCapability } from '../support/capability.ts';
import { withFurther } from '../support/further-cases.ts';
import {
  beginMigration,
  completedReport,
  createTinyVm,
  HostPair,
  openTinyGuest,
  type ReachedHost,
  type WatchedMigration,
} from '../support/host-pair.ts';
import { runsIntact } from '../support/intact-vm.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { startTinyVm } from '../support/tiny-vm.ts';
import { listMarks, measureWork } from '../support/traces.ts';
import { waitUntil } from '../support/wait-until.ts';

checkLeaks();

const MIB = 2 ** 20;
/** Every page of the guest's working range has contents, also those that it has not come to yet: 16 MiB. */
const FILL = { firstPage: FIRST_USABLE_PAGE, pageCount: 4096, randomWords: 1024 };
/** Every mode, and every size of groups in both modes that copy while the VM runs. */
const CASES = withFurther<{ mode: MigrationMode; tracker: string }>(
  [
    { mode: 'pre-copy', tracker: 'groups:auto' },
    { mode: 'hybrid', tracker: 'groups:1' },
    { mode: 'post-copy', tracker: 'groups:64' },
  ],
  [
    { mode: 'pre-copy', tracker: 'groups:1' },
    { mode: 'hybrid', tracker: 'groups:64' },
    { mode: 'auto', tracker: 'groups:auto' },
  ],
);
/** Some thousand pages a second. */
const CALM_DELAY = 200_000;
const WORK_SAMPLE_MS = 400;
/** Others use this machine too. */
const WORK_PART = 0.2;
/** Many times fewer pages a second than the guest writes. */
const SLOWED = { pagesPerSecond: 20_000, percent: 95 };

let pair: HostPair;

async function change(at: ReachedHost, vm: string, delay: number): Promise<void> {
  using guest = await openTinyGuest(at, vm);
  guest.change({ delay });
}

/** In the middle of a first pass that takes seconds; by its history the VM may be slowed already. */
async function beginSlowly(vm: string): Promise<WatchedMigration> {
  const request = { mode: 'pre-copy', tracker: 'groups:1', bandwidthBytesPerSecond: 4 * MIB } as const;
  const migration = await beginMigration(pair.a, vm, { to: pair.b.host.migration, ...request });
  await migration.progresses('some pages', ({ sentBytes }) => sentBytes > MIB);
  return migration;
}

/** Pages a second that a guest of so many pages does on its own, and slowed at its write faults. */
async function measureSlowed(accel: 'tcg' | 'kvm', pageCount: number): Promise<{ full: number; slowed: number }> {
  await using vm = await startTinyVm({ accel, guest: { pageCount } });
  const full = await measureWork(vm.guest, WORK_SAMPLE_MS);
  const ram = readMappings(vm.pid).find(({ path }) => path.startsWith('/dev/shm/'))!;
  const [vcpu] = await vm.qmp.execute<{ 'thread-id': number }[]>('query-cpus-fast');
  using tracker = await GroupDirtyTracker.open({
    qemu: vm.identity,
    layout: new RamLayout([{ id: 'ram', bytes: vm.ramBytes }]),
    starts: [ram.start],
    pages: 1,
    vcpuTids: [vcpu!['thread-id']],
    canReturnMemory: false,
    pagesPerSecond: SLOWED.pagesPerSecond,
    entrust: () => () => undefined,
  });
  tracker.throttle.set(SLOWED.percent);
  tracker.start();
  return { full, slowed: await measureWork(vm.guest, WORK_SAMPLE_MS) };
}

function describeGroups(accel: 'tcg' | 'kvm', needed: Capability[]): void {
  requireCapability(...needed)(`a tracker by groups under ${accel}`, () => {
    const vm = `groups-${accel}`;

    beforeAll(async () => {
      pair = await HostPair.open();
      await createTinyVm(pair.a, { name: vm, accel, guest: { fill: FILL } });
    });
    beforeEach(async () => {
      for (const { host } of [pair.a, pair.b]) if (!host.isRunning) await host.start();
      await pair.bring(vm, pair.a);
    });
    afterAll(() => pair?.[Symbol.asyncDispose]());

    test.each(CASES)('$mode with $tracker keeps every page', async ({ mode, tracker }) => {
      await change(pair.a, vm, CALM_DELAY);
      const report = completedReport(await pair.move(vm, { mode, tracker, verify: true, without: ['unchanged'] }));
      expect(report.verify).toMatchObject({ equal: true });
      expect(report.tracker.kind).toBe(mode === 'post-copy' ? 'none' : 'groups');
      await runsIntact(pair, vm, pair.b);
    });

    test('a VM that writes all the time is slowed at its faults, and moves', async () => {
      await change(pair.a, vm, 0);
      const request = { mode: 'pre-copy', tracker: 'groups:auto', bandwidthBytesPerSecond: 32 * MIB } as const;
      const report = completedReport(await pair.move(vm, { ...request, verify: true }));
      expect(report.throttle).toMatchObject({ mechanism: 'write-faults' });
      expect(report.throttle.maxPercent).toBeGreaterThan(50);
      expect(report.tracker.groups!.faults).toBeGreaterThan(100);
      expect(report.tracker.groups!.pacedFaults).toBeGreaterThan(0);
      await runsIntact(pair, vm, pair.b);
    });

    test('slowed at its faults, a guest that writes everywhere waits, and one that does not goes on as before', async () => {
      const writer = await measureSlowed(accel, 4096);
      expect(writer.slowed).toBeLessThan(0.1 * writer.full);
      expect(writer.slowed).toBeGreaterThan(0);
      const reader = await measureSlowed(accel, 2);
      expect(reader.slowed).toBeGreaterThan(WORK_PART * reader.full);
    });

    test('cancelled while pages are protected, the VM has its full speed back and nothing is protected', async () => {
      await change(pair.a, vm, 0);
      using guest = await openTinyGuest(pair.a, vm);
      const speed = await measureWork(guest, WORK_SAMPLE_MS);
      const migration = await beginSlowly(vm);
      await migration.cancel();
      expect((await migration.ended).report).toMatchObject({ outcome: 'cancelled', owner: 'a' });
      await runsIntact(pair, vm, pair.a);
      const isFast = async (): Promise<boolean> => (await measureWork(guest, WORK_SAMPLE_MS)) > speed * WORK_PART;
      // A machine that others use, too, can have a bad moment.
      await waitUntil('the VM is at full speed', isFast, { timeoutMs: 5 * WORK_SAMPLE_MS });
    });

    test('the daemon killed while pages are protected: the VM runs on at full speed before there is a new one', async () => {
      await change(pair.a, vm, 0);
      using guest = await openTinyGuest(pair.a, vm);
      const { pid } = await pair.a.client.showVm(vm);
      const speed = await measureWork(guest, WORK_SAMPLE_MS);
      const migration = await beginSlowly(vm);
      expect(listMarks(pid!).some((mark) => mark.startsWith('registered'))).toBe(true);
      await pair.a.host.kill();
      await waitUntil('nothing is protected', () => listMarks(pid!).length === 0);
      expect(await measureWork(guest, WORK_SAMPLE_MS)).toBeGreaterThan(speed * WORK_PART);
      await pair.a.host.start();
      const { report } = await waitUntil('the next daemon has ended the migration', async () => {
        const view = await pair.a.client.showMigration(migration.id);
        return view.state === 'running' ? undefined : view;
      });
      expect(report).toMatchObject({ outcome: 'failed', owner: 'a', error: { code: 'GW_MIGRATION_INTERRUPTED' } });
      await runsIntact(pair, vm, pair.a);
    });
  });
}

describeGroups('tcg', ['vm']);
describeGroups('kvm', ['vm', 'kvm']);
