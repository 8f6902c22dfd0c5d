/**
 * Tiny VMs of one host that share a region and work on it (guest/sharing), for tests.
 *
 * Owns: the VMs and the region's file on tmpfs. `await using` ends and removes it all. Must hold: VMs share what the
 * product lets them share: an ivshmem-plain device with a memory-backend-file. Under TCG each VM has two vCPUs, or
 * maxcpus=2: QEMU translates locked instructions to plain ones for a machine that can only ever have one (accel/tcg,
 * tcg_cpu_init_cflags: `parallel` is max_cpus > 1), and other processes come in between: increments are lost.
 */
import { rmSync, truncateSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { type CoherenceOutcome, checkCoherence } from '../../guest/sharing/coherence.ts';
import { type RegionLayout, regionLayout, type SharingOptions } from '../../guest/sharing/region-layout.ts';
import { RamFile } from '../../src/linux/ram-file.ts';
import { SHARED_MEMORY_PREFIX, TempDirectory } from './temp-directory.ts';
import { startTinyVm, type TinyVm, type TinyVmOptions } from './tiny-vm.ts';

export interface SharingVmsOptions {
  /** How many VMs, each of them a member. */
  readonly count: number;
  /** Default 4. */
  readonly regionMiB?: number;
  /** Of the workload; default as `regionLayout`. */
  readonly layout?: Omit<SharingOptions, 'memberCount'>;
  readonly vm?: Omit<TinyVmOptions, 'name'>;
}

/** The device's id is `ivshmem-NAME`, its backend's `shared-NAME`. */
export const REGION_NAME = 'region';

export class SharingVms implements AsyncDisposable {
  readonly vms: readonly TinyVm[];
  readonly region: RamFile;
  readonly regionPath: string;
  readonly layout: RegionLayout;

  private constructor(vms: readonly TinyVm[], region: RamFile, regionPath: string, layout: RegionLayout) {
    this.vms = vms;
    this.region = region;
    this.regionPath = regionPath;
    this.layout = layout;
  }

  /** Starts them one after the other and waits until each of them works. */
  static async start(options: SharingVmsOptions): Promise<SharingVms> {
    using directory = new TempDirectory();
    const regionPath = `${SHARED_MEMORY_PREFIX}${basename(directory.path)}-region`;
    const bytes = (options.regionMiB ?? 4) * 2 ** 20;
    const layout = regionLayout({ ...options.layout, memberCount: options.count }, bytes);
    createRegion(regionPath, bytes);
    const region = RamFile.open(regionPath, bytes);
    const vms: TinyVm[] = [];
    try {
      for (let member = 0; member < options.count; member++) {
        const { guest, qemuArgs = [], ...rest } = options.vm ?? {};
        const vm = await startTinyVm({
          vcpus: 2,
          ...rest,
          name: `member${member}`,
          guest: { pageCount: PRIVATE_PAGES, ...guest, sharing: { layout, member } },
          qemuArgs: [...qemuArgs, ...regionArguments(REGION_NAME, regionPath, bytes)],
        });
        vms.push(vm);
      }
      return new SharingVms(vms, region, regionPath, layout);
    } catch (error) {
      for (const vm of vms) await vm[Symbol.asyncDispose]();
      region[Symbol.dispose]();
      rmSync(regionPath, { force: true });
      throw error;
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.vms.map((vm) => vm.stop()));
  }

  async resume(): Promise<void> {
    await Promise.all(this.vms.map((vm) => vm.resume()));
  }

  /** Each of them has done so much more, or so many entries have come to it. */
  async work(increments: number, entries: number = increments / 100): Promise<void> {
    await Promise.all(this.vms.flatMap(({ guest }) => [guest.increments(increments), guest.entriesRead(entries)]));
  }

  /** Only while all of them are stopped. */
  check(): CoherenceOutcome {
    const members = this.vms.map(({ guest }) => guest.sharing);
    return checkCoherence(members, this.region, this.layout);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const vm of this.vms) await vm[Symbol.asyncDispose]();
    this.region[Symbol.dispose]();
    rmSync(this.regionPath, { force: true });
  }
}

/** Fewer private pages than a tiny VM has otherwise: passes over them are short. */
const PRIVATE_PAGES = 1024;

/** All zero. */
export function createRegion(path: string, bytes: number): void {
  writeFileSync(path, '', { mode: 0o600 });
  truncateSync(path, bytes);
}

/** @param master - without it QEMU refuses to migrate the VM ("peer mode") */
export function regionArguments(name: string, path: string, bytes: number, master: 'on' | 'off' = 'on'): string[] {
  return [
    ...['-object', `memory-backend-file,id=shared-${name},size=${bytes},mem-path=${path},share=on`],
    ...['-device', `ivshmem-plain,id=ivshmem-${name},memdev=shared-${name},master=${master}`],
  ];
}
