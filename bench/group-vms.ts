/**
 * The VMs of one run of the bench's groups: tiny guests that work on their own memory and, all but one that is alone, on a region.
 *
 * Owns: the VMs at both hosts; disposing of it ends them. Must hold: all pages of the region have data before anything moves, so
 * that nobody has zeros to save; downtime is read from QEMU's own trace, as in every other scenario.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { checkCoherence } from '../guest/sharing/coherence.ts';
import { REGION_PAGE_BYTES, type RegionLayout, regionLayout, usedPages } from '../guest/sharing/region-layout.ts';
import { readTinySharing } from '../guest/tiny/sharing-state.ts';
import { RamFile } from '../src/linux/ram-file.ts';
import type { GodwitHost, GodwitHosts } from './godwit-hosts.ts';
import { Guest } from './guest.ts';
import { resumedAt, stoppedAt } from './run-state-log.ts';
import type { Bench } from './system.ts';
import { createTinyVm, openTinyRam, type TinyWork } from './tiny-vm.ts';

export const GROUP_SIZE = 3;
export const REGION_BYTES: number = 64 * 2 ** 20;
/** 46 of the 64 MiB are worked on; the rest only lies there. */
const LAYOUT = { counterPages: 8192, ringPages: 16, ownPages: 1024 };
/** Of each VM's own: 64 MiB of data, 16 of them rewritten; light enough that two cores are not the limit. */
const WORK: TinyWork = { dataPages: 16_384, workingPages: 4_096, pagesPerSecond: 1_000, writeMode: 'random' };
/** More than once through the counters of all of them. */
const WARM_UP_MS = 5_000;

export class GroupVms implements AsyncDisposable {
  readonly names: readonly string[];
  readonly region: string;
  readonly #hosts: GodwitHosts;
  readonly #layout: RegionLayout | undefined;
  readonly #sources: Guest[] = [];

  private constructor(hosts: GodwitHosts, name: string, layout: RegionLayout | undefined) {
    this.#hosts = hosts;
    this.region = name;
    this.#layout = layout;
    this.names = Array.from({ length: layout?.memberCount ?? 1 }, (_, member) => `${name}-${member}`);
  }

  /** @param shares - a group; otherwise one VM that shares nothing */
  static async start(bench: Bench, hosts: GodwitHosts, name: string, shares: boolean): Promise<GroupVms> {
    const layout = shares ? regionLayout({ ...LAYOUT, memberCount: GROUP_SIZE }, REGION_BYTES) : undefined;
    const vms = new GroupVms(hosts, name, layout);
    try {
      const region = { name, size: REGION_BYTES };
      for (const [member, vm] of vms.names.entries()) {
        await createTinyVm(bench, hosts.source, vm, WORK, layout && { layout, member, region });
        const { pid, sharedMemory } = await hosts.source.client.showVm(vm);
        vms.#sources.push(Guest.find(pid!)!);
        if (member === 0 && layout) fillRest(sharedMemory[0]!.path, layout);
      }
      await delay(WARM_UP_MS);
      return vms;
    } catch (error) {
      await vms[Symbol.asyncDispose]();
      throw error;
    }
  }

  async actOnAll(at: GodwitHost, action: 'pause' | 'resume'): Promise<void> {
    await Promise.all(this.names.map((vm) => at.client.actOnVm(vm, action)));
  }

  /** Of each VM, now that it runs at the destination. */
  async downtimes(): Promise<number[]> {
    return await Promise.all(
      this.names.map(async (vm, index) => {
        const { pid } = await this.#hosts.destination.client.showVm(vm);
        using guest = Guest.find(pid!)!;
        const [from, to] = [stoppedAt(this.#sources[index]!.runStates), resumedAt(guest.runStates)];
        if (from === undefined || to === undefined) throw new Error(`The traces of VM ${vm} show no stop or no resume`);
        return to - from;
      }),
    );
  }

  /** What is wrong with the region: undefined when every write is in its place. */
  async findDamage(): Promise<string | undefined> {
    if (!this.#layout) return undefined;
    const { destination } = this.#hosts;
    await this.actOnAll(destination, 'pause');
    const views = await Promise.all(this.names.map((vm) => destination.client.showVm(vm)));
    const members = views.map(({ pid }) => {
      using ram = openTinyRam(pid!);
      return readTinySharing(ram);
    });
    using file = RamFile.open(views[0]!.sharedMemory[0]!.path, REGION_BYTES);
    return checkCoherence(members, file, this.#layout).problems[0];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const host of [this.#hosts.source, this.#hosts.destination]) {
      for (const vm of this.names) await host.remove(vm);
    }
    for (const guest of this.#sources) guest[Symbol.dispose]();
  }
}

/** Data where the guests do not work. */
function fillRest(path: string, layout: RegionLayout): void {
  using file = RamFile.open(path, REGION_BYTES);
  const from = usedPages(layout) * REGION_PAGE_BYTES;
  const page = new Uint8Array(REGION_PAGE_BYTES);
  for (let at = from; at < REGION_BYTES; at += REGION_PAGE_BYTES) file.write(at, crypto.getRandomValues(page));
}
