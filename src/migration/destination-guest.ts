/**
 * The VM at the destination: a QEMU of our own, paused and waiting for its state (V2).
 *
 * Owns: the QEMU process, its QMP connection, its RAM files, and its userfaultfd once pages are missing.
 * Must hold: memory reads as zero wherever the source sends nothing; the userfaultfd stays open inside QEMU, so that
 * missing pages stay missing if this process dies; `discard` leaves nothing behind.
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { GodwitError } from '../base/errors.ts';
import { UFFD_FEATURE_MISSING_SHMEM, UFFD_FEATURE_THREAD_ID } from '../linux/abi/userfaultfd.ts';
import type { ProcessIdentity } from '../linux/process.ts';
import { Userfaultfd } from '../linux/userfaultfd.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { type DeviceStateLoad, loadDeviceState } from '../qemu/device-state-load.ts';
import { activateDisks } from '../qemu/disk-activation.ts';
import { DiskExports } from '../qemu/disk-export.ts';
import {
  borrowMigrationSettings,
  type MigrationSettings,
  restoreMigrationSettings,
} from '../qemu/migration-settings.ts';
import { killQemu } from '../qemu/process.ts';
import { QmpClient } from '../qemu/qmp.ts';
import { announce, contVm, queryRunState } from '../qemu/run-state.ts';
import type { DestinationDiskServer } from './destination-disk-server.ts';
import type { PlannedDisk } from './disk-fit.ts';
import type { FoundRegion } from './known-ram.ts';
import type { VmPaths, VmRecord } from './vm-record.ts';

const QMP_TIMEOUT_MS = 5000;

/** Made by destination-guest-creation.ts, or found again by destination-guest-reopening.ts. */
export interface DestinationGuestParts {
  readonly record: VmRecord;
  readonly paths: VmPaths;
  readonly identity: ProcessIdentity;
  /** null: the VM's user has it, or it is to be connected (`connect`). */
  readonly qmp: QmpClient | null;
  readonly memory: GuestMemory;
  readonly regions: readonly FoundRegion[];
  readonly notes: readonly string[];
  /** As they were found before QEMU opened them; empty once pages have come. */
  readonly disks: readonly PlannedDisk[];
  /** What the process before this one found of QEMU's settings and changed. */
  readonly borrowed: MigrationSettings | null;
  /** What was watched when the process before this one ended. */
  readonly uffd: Userfaultfd | undefined;
  /** null: none goes through a block server. */
  readonly diskServer: DestinationDiskServer | null;
}

export class DestinationGuest {
  readonly record: VmRecord;
  readonly paths: VmPaths;
  readonly identity: ProcessIdentity;
  readonly memory: GuestMemory;
  readonly regions: readonly FoundRegion[];
  /** Where each region begins in QEMU. */
  readonly starts: readonly bigint[];
  readonly notes: readonly string[];
  readonly disks: readonly PlannedDisk[];
  readonly #diskServer: DestinationDiskServer | null;
  #qmp: QmpClient | null;
  /** As they were found; null: they are not borrowed. */
  #settings: MigrationSettings | null;
  #uffd: Userfaultfd | undefined;
  #load: DeviceStateLoad | undefined;
  #exports: DiskExports | undefined;

  constructor(parts: DestinationGuestParts) {
    this.record = parts.record;
    this.paths = parts.paths;
    this.identity = parts.identity;
    this.#qmp = parts.qmp;
    this.memory = parts.memory;
    this.regions = parts.regions;
    this.starts = parts.regions.map((region) => region.hostAddress);
    this.notes = parts.notes;
    this.disks = parts.disks;
    this.#settings = parts.borrowed;
    this.#uffd = parts.uffd;
    this.#diskServer = parts.diskServer;
  }

  /** Somebody may wait for a page. */
  get isWatching(): boolean {
    return this.#uffd !== undefined;
  }

  get #monitor(): QmpClient {
    if (this.#qmp) return this.#qmp;
    throw new GodwitError('GW_INTERNAL', { reason: `the QMP connection of ${this.record.name} is its user's` });
  }

  /** @throws GW_QMP_… */
  async connect(): Promise<void> {
    this.#qmp ??= await QmpClient.connect(this.record.qmpPath, { timeoutMs: QMP_TIMEOUT_MS });
  }

  /** Whether QEMU has its state: it waits for `cont`. */
  async isLoaded(): Promise<boolean> {
    return (await queryRunState(this.#monitor)).status !== 'inmigrate';
  }

  /** From now on a page that is not there makes whoever touches it wait. Returns the descriptor's number in QEMU. */
  watchMissing(): { readonly uffd: Userfaultfd; readonly insideFd: number } {
    if (!this.#uffd) {
      const features = UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_THREAD_ID;
      const uffd = Userfaultfd.openInside(this.identity.pid, { features, keepInside: true });
      for (const region of this.memory.layout.regions) {
        uffd.register(this.starts[region.index]!, region.bytes, { missing: true });
      }
      this.#uffd = uffd;
    }
    return { uffd: this.#uffd, insideFd: this.#uffd.insideFd! };
  }

  /**
   * Prepares QEMU for taking nothing but its device state.
   * @param keep - writes down which settings were found, before they are changed
   */
  async borrowSettings(keep: (found: MigrationSettings) => void): Promise<void> {
    this.#settings = await borrowMigrationSettings(this.#monitor, 'load', keep);
  }

  /** The images that are to be filled can be, from now on until the VM's state is loaded. @throws GW_DISK_COPY */
  async openExports(): Promise<void> {
    const copied = this.disks.filter(({ kind }) => kind === 'copied').map((disk) => ({ ...disk, kind: disk.image }));
    if (copied.length === 0) return;
    this.#exports = await DiskExports.open(this.#monitor, join(this.paths.directory, 'exports.sock'), copied);
  }

  /** Where QEMU takes what fills its images; undefined: there are none. */
  get exportsPath(): string | undefined {
    return this.#exports?.socketPath;
  }

  /** Opens QEMU's ear for the device state; early, because it costs a round trip. */
  async prepareToLoad(signal: AbortSignal): Promise<void> {
    const socketPath = join(this.paths.directory, 'load.sock');
    this.#load = loadDeviceState(this.#monitor, socketPath, { logPath: this.paths.qemuLog, signal });
    // Whoever waits for `loaded` hears of a failure; until then nobody does.
    this.#load.loaded.catch(() => undefined);
    await this.#load.ready;
  }

  /** A part that can be loaded before guest memory is in place. What goes wrong is told by `loadState`. */
  feedState(part: Uint8Array): void {
    this.#load?.write(part).catch(() => undefined);
  }

  /** The rest. */
  async loadState(state: Uint8Array): Promise<void> {
    const load = this.#load;
    if (!load) throw new GodwitError('GW_INTERNAL', { reason: 'nothing waits for the device state' });
    await this.#exports?.close();
    await load.write(state);
    await load.end();
    await load.loaded;
  }

  /** The VM is this host's, and runs. */
  async resume(): Promise<{ resumedAtMs: number }> {
    await this.#diskServer?.admit(this.identity);
    return await contVm(this.#monitor);
  }

  /**
   * Tells the network, or has the disks of a VM that stands still, and puts QEMU's settings back: nothing of it may fail the VM.
   * @param given - called when the settings, which were borrowed until then, are as they were
   */
  async settleIn(wasRunning: boolean, given: () => void): Promise<void> {
    try {
      if (wasRunning) await announce(this.#monitor);
      else await activateDisks(this.#monitor, this.identity.pid);
    } finally {
      if (this.#settings) {
        await restoreMigrationSettings(this.#monitor, this.#settings);
        this.#settings = null;
        given();
      }
    }
  }

  /** Every page is there: the registration ends, and with it every cost. */
  endWatching(): void {
    const uffd = this.#uffd;
    if (!uffd) return;
    for (const region of this.memory.layout.regions) uffd.unregister(this.starts[region.index]!, region.bytes);
    uffd.releaseInside();
    uffd[Symbol.dispose]();
    this.#uffd = undefined;
  }

  /** QEMU has ears for one: now for the VM's user. */
  closeQmp(): void {
    this.#qmp?.close();
  }

  /** Lets go; QEMU runs on. */
  close(): void {
    this.closeQmp();
    this.#diskServer?.[Symbol.dispose]();
    this.memory[Symbol.dispose]();
    this.#uffd?.[Symbol.dispose]();
  }

  /** Ends QEMU and removes everything that was made for it. */
  async discard(): Promise<void> {
    this.closeQmp();
    await killQemu(this.identity);
    await this.#diskServer?.end();
    this.close();
    rmSync(this.paths.directory, { recursive: true, force: true });
  }
}
