/**
 * Linux guests of one host daemon that share a region by mapping the BAR themselves (guest/linux/workload/sharing.c), to be
 * moved as a group.
 *
 * Owns: the VMs of a SharingGroup. Must hold: the region is judged while all VMs stand, by the notes in their private memory.
 */

import { lastSharingProgress, readComplaints } from '../../guest/linux/console.ts';
import { linuxGuestCommandLine, linuxGuestImages } from '../../guest/linux/images.ts';
import { findSharingNotes, readSharingNotes, sharingParameter } from '../../guest/linux/sharing-notes.ts';
import { type CoherenceOutcome, checkCoherence, type SharingMember } from '../../guest/sharing/coherence.ts';
import { type RegionLayout, regionLayout } from '../../guest/sharing/region-layout.ts';
import type { GroupMigrateBody, GroupMigrationView } from '../../src/api/group-migration-schema.ts';
import { RamFile } from '../../src/linux/ram-file.ts';
import { FEW_CONNECTIONS } from './further-cases.ts';
import { HostPair, isFree, type ReachedHost } from './host-pair.ts';
import { endOfGroup, GROUP } from './sharing-group.ts';
import { openGuestRam } from './tiny-guest-view.ts';
import { waitUntil } from './wait-until.ts';

const MEMORY_MIB = 128;
const LIGHT = { fillMiB: 16, workingSetMiB: 4, rate: 500 } as const;
const BOOT_TIMEOUT_MS = 120_000;

export class LinuxGroup implements AsyncDisposable {
  readonly pair: HostPair;
  readonly vms: readonly string[];
  readonly layout: RegionLayout;
  readonly #regionBytes: number;

  private constructor(pair: HostPair, vms: readonly string[], layout: RegionLayout, regionBytes: number) {
    this.pair = pair;
    this.vms = vms;
    this.layout = layout;
    this.#regionBytes = regionBytes;
  }

  /** All at host a, and booting. */
  static async start(options: { readonly count: number; readonly regionMiB: number }): Promise<LinuxGroup> {
    const pair = await HostPair.open();
    try {
      const regionBytes = options.regionMiB * 2 ** 20;
      const layout = regionLayout({ memberCount: options.count }, regionBytes);
      const vms = Array.from({ length: options.count }, (_, member) => `linux${member}`);
      for (const [member, name] of vms.entries()) {
        await pair.a.client.createVm({
          name,
          memory: `${MEMORY_MIB}MiB`,
          accel: 'tcg',
          boot: {
            ...linuxGuestImages(),
            cmdline: linuxGuestCommandLine(LIGHT, [sharingParameter(layout, member, 'max')]),
          },
          sharedMemory: [{ name: GROUP, size: regionBytes }],
        });
      }
      return new LinuxGroup(pair, vms, layout, regionBytes);
    } catch (error) {
      await pair[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Each of them has told at its console of so many entries more that it has read there. */
  async work(at: ReachedHost, entries: number): Promise<void> {
    await Promise.all(
      this.vms.map(async (vm) => {
        const read = async (): Promise<number> => lastSharingProgress(await at.client.consoleText(vm))?.consumed ?? 0;
        const goal = (await read()) + entries;
        await waitUntil(`VM ${vm} has read ${entries} entries more`, async () => (await read()) >= goal, {
          timeoutMs: BOOT_TIMEOUT_MS,
        });
      }),
    );
  }

  async move(from: ReachedHost, to: ReachedHost, request: Omit<GroupMigrateBody, 'to'>): Promise<GroupMigrationView> {
    const { id } = await from.client.migrateGroup(GROUP, { ...FEW_CONNECTIONS, to: to.host.migration, ...request });
    const view = await endOfGroup(from, id);
    if (view.state === 'completed') await Promise.all(this.vms.map((vm) => isFree(to, vm)));
    return view;
  }

  /** Stops all of them there, looks, and lets them go on. */
  async check(at: ReachedHost): Promise<CoherenceOutcome> {
    const views = await Promise.all(this.vms.map((vm) => at.client.actOnVm(vm, 'pause')));
    try {
      using file = RamFile.open(views[0]!.sharedMemory[0]!.path, this.#regionBytes);
      const members = views.map(({ pid, memoryBytes }) => notesOf(pid!, memoryBytes));
      const outcome = checkCoherence(members, file, this.layout);
      const complaints = await Promise.all(
        this.vms.map(async (vm) => readComplaints(await at.client.consoleText(vm)).map((line) => `${vm}: ${line}`)),
      );
      return { ...outcome, problems: [...outcome.problems, ...complaints.flat()] };
    } finally {
      await Promise.all(this.vms.map((vm) => at.client.actOnVm(vm, 'resume')));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.pair[Symbol.asyncDispose]();
  }
}

function notesOf(pid: number, memoryBytes: number): SharingMember {
  using ram = openGuestRam(pid, memoryBytes);
  const offset = findSharingNotes(ram);
  if (offset === undefined) throw new Error(`The guest of process ${pid} has no notes on shared memory`);
  return readSharingNotes(ram, offset);
}
