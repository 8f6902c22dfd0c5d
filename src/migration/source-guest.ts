/**
 * The VM at the source: everything that the migration does to its QEMU.
 *
 * Owns: the QMP connection for the time of the migration, the RAM files, the dirty tracker and the throttle.
 * Must hold: `restore` leaves QEMU as it was found, whatever was begun (S6); nothing here decides whether the VM runs.
 */
import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { GodwitError } from '../base/errors.ts';
import { countPages } from '../base/page.ts';
import { openVcpuThrottle, type VcpuThrottle } from '../linux/cpu-bandwidth.ts';
import { isAlive, ownerOf, type ProcessIdentity } from '../linux/process.ts';
import type { DirtyTracker } from '../memory/dirty-tracker.ts';
import { GuestMemory } from '../memory/guest-memory.ts';
import { RamLayout } from '../memory/layout.ts';
import { cancelMigration, type DeviceStateSave, saveDeviceState } from '../qemu/device-state-save.ts';
import { activateDisks } from '../qemu/disk-activation.ts';
import { abandonMirrors } from '../qemu/disk-mirror.ts';
import { canReturnMemory, type VmFacts } from '../qemu/facts.ts';
import {
  borrowMigrationSettings,
  type MigrationSettings,
  restoreMigrationSettings,
} from '../qemu/migration-settings.ts';
import { QmpClient } from '../qemu/qmp.ts';
import { movableRam, type RamRegion } from '../qemu/ram.ts';
import { contVm, queryRunState, quitQemu } from '../qemu/run-state.ts';
import type { SharedRegion } from '../qemu/shared-memory.ts';
import { StateOutlet } from '../qemu/state-outlet.ts';
import { surveyVm, type VmSurvey } from '../qemu/survey.ts';
import { blockedBy } from './blocked.ts';
import type { Entrust } from './group-tracker.ts';
import { NOTHING_TRACKED, type TrackerReport } from './report.ts';
import { makeSaveDirectory, stateSocketPath } from './save-directory.ts';
import { SourceDiskServer } from './source-disk-server.ts';
import { openTracker } from './tracker-opening.ts';
import type { VmRecord } from './vm-record.ts';

const QMP_TIMEOUT_MS = 5000;

type Opened = Pick<SourceGuest, 'memory' | 'diskServer'> & { readonly regions: readonly RamRegion[] };

export class SourceGuest {
  readonly vm: VmRecord;
  readonly identity: ProcessIdentity;
  readonly qmp: QmpClient;
  readonly facts: VmFacts;
  /** What stands in the way, as far as this host can see. */
  readonly blockers: VmSurvey['blockers'];
  /** Memory that it shares with other VMs, which is not in `memory`. */
  readonly shared: readonly SharedRegion[];
  readonly memory: GuestMemory;
  /** null: none goes through a block server. */
  readonly diskServer: SourceDiskServer | null;
  /** Pages that held data when it was opened. */
  readonly dataPages: number;
  /** Paths of the RAM files, one a region. */
  readonly files: readonly string[];
  readonly #starts: readonly bigint[];
  #tracker: DirtyTracker | undefined;
  #trackerReport = NOTHING_TRACKED;
  #throttle: VcpuThrottle | undefined;
  #throttleMechanism = 'none';
  #settings: MigrationSettings | null; // as they were found; null: they are not borrowed
  #saveDirectory: string | undefined;
  #outlet: StateOutlet | undefined;

  private constructor(
    vm: VmRecord,
    qmp: QmpClient,
    { facts, blockers, regions: shared }: Pick<VmSurvey, 'facts' | 'blockers' | 'regions'>,
    { memory, diskServer, regions }: Opened,
    borrowed: MigrationSettings | null,
  ) {
    this.vm = vm;
    this.identity = { pid: vm.pid, startTicks: vm.startTicks };
    this.qmp = qmp;
    this.facts = facts;
    this.blockers = blockers;
    this.shared = shared;
    this.memory = memory;
    this.diskServer = diskServer;
    this.dataPages = countPages(memory.dataRuns());
    this.files = regions.map((region) => region.fdPath);
    this.#starts = regions.map((region) => region.hostAddress);
    this.#settings = borrowed;
  }

  /**
   * @param borrowed - what an earlier process of this host found and changed
   * @throws GW_QEMU_GONE, GW_QMP_…, GW_MIGRATION_BLOCKED
   */
  static async open(vm: VmRecord, borrowed: MigrationSettings | null = null): Promise<SourceGuest> {
    if (!isAlive(vm)) {
      throw new GodwitError('GW_QEMU_GONE', { vm: vm.name, reason: `process ${vm.pid} is not there any more` });
    }
    const qmp = await QmpClient.connect(vm.qmpPath, { timeoutMs: QMP_TIMEOUT_MS });
    try {
      const survey = await surveyVm(qmp, vm.pid);
      // Told as every other blocker is: what it is, why, and the cure.
      if (survey.ram.some(({ place }) => place === null)) throw blockedBy(vm.name, survey.blockers);
      const regions = movableRam(survey.ram, vm.pid);
      const files = regions.map(({ fdPath }) => fdPath);
      const memory = GuestMemory.open(new RamLayout(regions), files);
      const opened = { memory, regions, diskServer: await SourceDiskServer.open(vm) };
      return new SourceGuest(vm, qmp, survey, opened, borrowed);
    } catch (error) {
      qmp.close();
      throw error;
    }
  }

  get layout(): RamLayout {
    return this.memory.layout;
  }

  get tracker(): DirtyTracker {
    if (!this.#tracker) throw new GodwitError('GW_INTERNAL', { reason: 'the dirty tracker was not started' });
    return this.#tracker;
  }

  /** Its memory can shrink while it runs. */
  get canReturnMemory(): boolean {
    return canReturnMemory(this.facts);
  }

  get throttlePercent(): number {
    return this.#throttle?.percent ?? 0;
  }

  get throttleMechanism(): string {
    return this.#throttleMechanism;
  }

  /** Of the tracking so far, also when it is over. */
  get trackerReport(): TrackerReport {
    return { ...this.#trackerReport, ...this.#tracker?.facts };
  }

  /**
   * From now on every write is noticed.
   * @param pagesPerSecond - that the VM is known to write; 0 when nothing is known
   * @returns why the tracker is another one than was asked for, if it is
   */
  async track(tracker: string, pagesPerSecond: number, entrust: Entrust): Promise<string | null> {
    const { identity: qemu, layout, canReturnMemory, facts } = this;
    const parts = { qemu, layout, starts: this.#starts, vcpuTids: facts.vcpuTids, canReturnMemory };
    const opened = await openTracker(tracker, { ...parts, pagesPerSecond, entrust });
    this.#tracker = opened.tracker;
    this.#trackerReport = { ...opened.tracker.facts, reason: opened.reason };
    return opened.reason;
  }

  /** For giving its device state; outside the downtime. `keep` writes settings down before they change. */
  async prepareToSave(keep: (found: MigrationSettings) => void): Promise<void> {
    await activateDisks(this.qmp, this.identity.pid);
    this.#saveDirectory ??= makeSaveDirectory();
    void this.diskServer?.sync();
    this.#outlet ??= await StateOutlet.open(stateSocketPath(this.#saveDirectory), ownerOf(this.identity.pid));
    await borrowMigrationSettings(this.qmp, 'save', (found) => {
      keep(found);
      this.#settings = found;
    });
  }

  /** @param percent - how much of the vCPUs' time is taken away; 0 = none */
  slow(percent: number): void {
    if (percent === 0 && !this.#throttle) return;
    const { pid, name } = this.vm;
    this.#throttle ??= this.#tracker?.throttle ?? openVcpuThrottle({ pid, tids: this.facts.vcpuTids, name });
    this.#throttleMechanism = this.#throttle.mechanism;
    this.#throttle.set(percent);
  }

  /** Full speed at once, ready to be slowed again. */
  unthrottle(): void {
    this.#throttle?.set(0);
  }
  async isRunning(): Promise<boolean> {
    return (await queryRunState(this.qmp)).running;
  }

  /** Once, after `prepareToSave`: stops the VM and saves its devices. */
  saveState(signal: AbortSignal): DeviceStateSave {
    if (!this.#outlet) throw new GodwitError('GW_INTERNAL', { reason: 'nothing waits for the device state' });
    const sharedBackends = this.shared.map(({ id }) => id);
    const save = saveDeviceState(this.qmp, this.#outlet, { signal, sharedBackends });
    this.diskServer?.cancelAtStop(this.qmp, save.stopping);
    return save;
  }

  resume(): Promise<unknown> {
    return contVm(this.qmp);
  }

  stopTracking(): void {
    this.#trackerReport = this.trackerReport;
    this.#tracker?.stop();
    this.#tracker = undefined;
  }

  /** The VM as it was found. Every part is tried. @param goOn - lets it run if it ran */
  async restore(goOn: () => Promise<unknown>): Promise<void> {
    this.#letGo();
    const problems: unknown[] = [];
    // A save of an earlier process of this host may hold the VM.
    const acts = [() => cancelMigration(this.qmp), goOn, () => abandonMirrors(this.qmp), () => this.restoreSettings()];
    for (const act of acts) await act().catch((error: unknown) => problems.push(error));
    if (problems.length > 0) throw problems[0];
  }

  /** QEMU's migration settings, which whoever has the VM next would take for its own. */
  async restoreSettings(): Promise<void> {
    const found = this.#settings;
    this.#settings = null;
    if (found) await restoreMigrationSettings(this.qmp, found);
  }

  /** Ends QEMU and removes its directory: the VM is another host's. */
  async discard(): Promise<void> {
    this.#letGo();
    await quitQemu(this.qmp, this.identity);
    // The daemon that knew the VM may be gone. What godwit did not make it does not delete.
    if (!this.vm.adopted) rmSync(dirname(this.vm.qmpPath), { recursive: true, force: true });
  }

  /** Lets go of everything; QEMU runs on. */
  close(): void {
    this.#letGo();
    this.qmp.close();
    this.diskServer?.[Symbol.dispose]();
    this.memory[Symbol.dispose]();
  }

  #letGo(): void {
    this.#releaseThrottle();
    this.stopTracking();
    this.#outlet?.[Symbol.dispose]();
    this.#outlet = undefined;
    if (this.#saveDirectory !== undefined) rmSync(this.#saveDirectory, { recursive: true, force: true });
    this.#saveDirectory = undefined;
  }

  /** Takes milliseconds: not while the guest waits. */
  #releaseThrottle(): void {
    this.#throttle?.release();
    this.#throttle = undefined;
  }
}
