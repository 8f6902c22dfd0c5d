import { rmSync } from 'node:fs';
import { basename } from 'node:path';
import { expect, test } from 'vitest';
import { RamFile } from '../../src/linux/ram-file.ts';
import { requireCapability } from '../../test/support/capability.ts';
import { checkLeaks } from '../../test/support/leak-check.ts';
import { type LinuxVm, startLinuxVm } from '../../test/support/linux-vm.ts';
import { createRegion, REGION_NAME, regionArguments } from '../../test/support/sharing-vms.ts';
import { SHARED_MEMORY_PREFIX, TempDirectory } from '../../test/support/temp-directory.ts';
import { startTinyVm } from '../../test/support/tiny-vm.ts';
import { waitUntil, within } from '../../test/support/wait-until.ts';
import { checkCoherence, type SharingMember } from '../sharing/coherence.ts';
import { REGION_PAGE_BYTES, type RegionLayout, regionLayout } from '../sharing/region-layout.ts';
import { lastSharingProgress, readComplaints, type SharingProgress } from './console.ts';
import { findSharingNotes, readSharingNotes, sharingParameter } from './sharing-notes.ts';

checkLeaks();

const REGION_BYTES = 64 * 2 ** 20;
const BOOT_TIMEOUT_MS = 60_000;
const LIGHT = { fillMiB: 16, workingSetMiB: 4, rate: 500 } as const;

/** A region on tmpfs, and the arguments and words that make a VM a member. */
class Region implements Disposable {
  readonly path: string;
  readonly file: RamFile;
  readonly layout: RegionLayout;

  constructor(memberCount: number, bytes = REGION_BYTES) {
    using directory = new TempDirectory();
    this.path = `${SHARED_MEMORY_PREFIX}${basename(directory.path)}-region`;
    createRegion(this.path, bytes);
    this.file = RamFile.open(this.path, bytes);
    this.layout = regionLayout({ memberCount }, REGION_BYTES);
  }

  get qemuArgs(): string[] {
    return regionArguments(REGION_NAME, this.path, this.file.bytes);
  }

  start(member: number, rate?: number | 'max'): Promise<LinuxVm> {
    const kernelWords = [sharingParameter(this.layout, member, rate)];
    return startLinuxVm({ memoryMiB: 128, vcpus: 2, workload: LIGHT, kernelWords, qemuArgs: this.qemuArgs });
  }

  problems(members: readonly SharingMember[]): readonly string[] {
    return checkCoherence(members, this.file, this.layout).problems;
  }

  [Symbol.dispose](): void {
    this.file[Symbol.dispose]();
    rmSync(this.path, { force: true });
  }
}

/** The guest's notes; stop it before. */
function notesOf(vm: LinuxVm): SharingMember {
  using ram = RamFile.open(vm.ramPath, vm.ramBytes);
  const offset = findSharingNotes(ram);
  if (offset === undefined) throw new Error('The guest has no notes on shared memory');
  return readSharingNotes(ram, offset);
}

/** Waits until the guest has told of so many entries more. */
function entriesRead(vm: LinuxVm, count: number): Promise<SharingProgress> {
  const from = lastSharingProgress(vm.console)?.consumed ?? 0;
  return waitUntil(
    `the guest has read ${count} entries more; its console says\n${vm.console.slice(-500)}`,
    () => {
      const progress = lastSharingProgress(vm.console);
      return progress !== undefined && progress.consumed >= from + count ? progress : undefined;
    },
    { timeoutMs: BOOT_TIMEOUT_MS, intervalMs: 20 },
  );
}

requireCapability('vm')('the sample Linux guest with shared memory', () => {
  test('two of them share 64 MiB and lose nothing, whenever they are stopped', async () => {
    using region = new Region(2);
    await using first = await region.start(0, 'max');
    await using second = await region.start(1, 'max');
    const vms = [first, second];
    for (let stop = 0; stop < 3; stop++) {
      await Promise.all(vms.map((vm) => entriesRead(vm, 1000)));
      await Promise.all(vms.map((vm) => vm.qmp.execute('stop')));
      expect(region.problems(vms.map(notesOf))).toEqual([]);
      await Promise.all(vms.map((vm) => vm.qmp.execute('cont')));
    }
    const [before, startedMs] = [await entriesRead(first, 1), performance.now()];
    const after = await entriesRead(first, 1);
    const seconds = (performance.now() - startedMs) / 1000;
    const rate = (of: 'increments' | 'consumed'): number => Math.round((after[of] - before[of]) / seconds);
    console.log(`Linux, one of two: ${rate('increments')} increments/s, ${rate('consumed')} entries read/s`);
    expect(vms.flatMap((vm) => readComplaints(vm.console))).toEqual([]);
  });

  test('it works on a region together with a tiny guest', async () => {
    using region = new Region(2);
    await using linux = await region.start(1, 'max');
    const { layout, qemuArgs } = region;
    await using tiny = await startTinyVm({
      vcpus: 2,
      qemuArgs,
      guest: { pageCount: 256, sharing: { layout, member: 0 } },
    });
    await Promise.all([entriesRead(linux, 5000), tiny.guest.entriesRead(5000, BOOT_TIMEOUT_MS)]);
    await Promise.all([linux.qmp.execute('stop'), tiny.stop()]);
    expect(region.problems([notesOf(linux), tiny.guest.sharing])).toEqual([]);
  });

  test('it says at once when a counter is older than it was, and the check finds it', async () => {
    using region = new Region(1);
    await using vm = await region.start(0, 'max');
    await entriesRead(vm, 1000);
    await vm.qmp.execute('stop');
    const old = new Uint8Array(REGION_PAGE_BYTES);
    region.file.read(7 * REGION_PAGE_BYTES, old);
    await vm.qmp.execute('cont');
    await entriesRead(vm, 1000);
    await vm.qmp.execute('stop');
    region.file.write(7 * REGION_PAGE_BYTES, old);
    expect(region.problems([notesOf(vm)])).toEqual([expect.stringMatching(/^Counter 7 is /)]);
    await vm.qmp.execute('cont');
    await vm.waitForConsole(/shared memory INCOHERENT page 7: the counter went back, found \d+, expected \d+/);
    expect(readComplaints(vm.console)).toHaveLength(1);
    await vm.qmp.execute('stop');
    expect(notesOf(vm)).toMatchObject({ errors: 1, firstError: { kind: 'the counter went back', page: 7 } });
  });

  test('it works as fast as it is told to, and stops when told to', async () => {
    using region = new Region(1);
    await using vm = await region.start(0, 1000);
    const first = await entriesRead(vm, 1);
    const beat = await vm.heartbeat(1);
    const later = await vm.heartbeat(beat.number + 1);
    const second = await entriesRead(vm, 1);
    expect(later.number).toBeGreaterThan(beat.number);
    const steps = second.increments - first.increments;
    expect(steps).toBeGreaterThan(500);
    expect(steps).toBeLessThan(6000);
    await vm.command('sharing 0', /sharing rate 0/);
    const still = await vm.command('sharing', /sharing increments=.*/);
    expect(await vm.command('sharing', /sharing increments=.*/)).toBe(still);
    expect(await vm.command('sharing fast', /error: .*/)).toContain('no such rate: fast');
  });

  test.each([
    ['no device', 'this machine has no ivshmem device', undefined],
    ['a region that is too small', 'the workload needs 344 KiB, the region has 64', 65_536],
  ])('%s is refused in words', async (_, reason, bytes) => {
    using region = new Region(1, bytes ?? REGION_BYTES);
    const kernelWords = [sharingParameter(region.layout, 0)];
    const qemuArgs = bytes === undefined ? [] : region.qemuArgs;
    await using vm = await startLinuxVm({ memoryMiB: 128, kernelWords, qemuArgs });
    await within('QEMU is gone', vm.qmp.closed, BOOT_TIMEOUT_MS);
    expect(vm.console).toContain(`error: godwit.sharing: ${reason}`);
  });
});
