/**
 * The QEMU that takes a VM over: started beside the old one, on the same memory.
 *
 * Owns: its process, its QMP connection and its directory. Must hold: it is tried on memory of its own first, and one that
 * writes there while it starts, or that the guest could tell from the old one, never sees the VM's; `discard` leaves nothing.
 * Must never: punch, fill or digest what it finds: it is the VM's live memory.
 */
import { existsSync, linkSync, mkdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { GodwitError } from '../base/errors.ts';
import { countPages } from '../base/page.ts';
import { identifyFile, isSameFile } from '../linux/file-users.ts';
import { DirtyScanner } from '../linux/pagemap.ts';
import type { ProcessIdentity } from '../linux/process.ts';
import { RamFile } from '../linux/ram-file.ts';
import { explainBlockers } from '../migration/blocked.ts';
import type { SourceGuest } from '../migration/source-guest.ts';
import { type VmPaths, type VmRecord, vmPaths } from '../migration/vm-record.ts';
import { type AttachedNic, attach, tapsOf } from '../network/nic.ts';
import { plugInTaps } from '../network/taps.ts';
import { type Derived, deriveDestination } from '../qemu/derive.ts';
import { type DeviceStateLoad, loadDeviceState } from '../qemu/device-state-load.ts';
import { activateDisks } from '../qemu/disk-activation.ts';
import { inspectVm } from '../qemu/facts.ts';
import { compareVms, visibleMachine } from '../qemu/fit.ts';
import {
  borrowMigrationSettings,
  type MigrationSettings,
  restoreMigrationSettings,
} from '../qemu/migration-settings.ts';
import { killQemu, type StartedQemu, startQemu } from '../qemu/process.ts';
import type { QmpClient } from '../qemu/qmp.ts';
import { findGuestRam } from '../qemu/ram.ts';
import { announce } from '../qemu/run-state.ts';

export interface SuccessorOptions {
  readonly guest: SourceGuest;
  /** Of the old QEMU, without the binary. */
  readonly args: readonly string[];
  /** Of the old QEMU. */
  readonly workingDirectory: string;
  readonly binary: string;
  readonly stateDirectory: string;
  /** Tells its directory from that of the old QEMU. */
  readonly instance: string;
  readonly allowedNetworkScripts: readonly string[];
  readonly signal: AbortSignal;
  refuse(reason: string): GodwitError;
}

type Plan = Extract<Derived, { kind: 'derived' }>;

export class Successor {
  readonly record: VmRecord;
  readonly qmp: QmpClient;
  readonly identity: ProcessIdentity;
  readonly paths: VmPaths;
  readonly notes: readonly string[];
  #settings: MigrationSettings | null = null;

  private constructor({ identity, qmp }: StartedQemu, parts: Pick<Successor, 'record' | 'paths' | 'notes'>) {
    this.identity = identity;
    this.qmp = qmp;
    this.record = parts.record;
    this.paths = parts.paths;
    this.notes = parts.notes;
  }

  /** Tries it on empty memory. @throws GW_UPGRADE_REFUSED, GW_QEMU_START */
  static async tryOut(options: SuccessorOptions): Promise<void> {
    const { guest, refuse } = options;
    const paths = pathsOf(options);
    const plan = derive(options, undefined);
    const ramPaths = plan.ramFiles.map(({ path }) => path);
    await using started = await start(options, paths, plan, ramPaths);
    const [found, regions] = await Promise.all([
      inspectVm(started.qmp),
      findGuestRam(started.qmp, started.identity.pid),
    ]);
    const blockers = compareVms(visibleMachine(guest.facts), visibleMachine(found));
    if (blockers.length > 0) {
      throw refuse(`the guest would see another machine in QEMU ${found.qemuVersion}: ${explainBlockers(blockers)}`);
    }
    for (const { id, bytes, fdPath } of regions) {
      using file = RamFile.open(fdPath, bytes);
      if (file.dataRuns().length > 0)
        throw refuse(`${options.binary} touches the guest's memory ${id} while it starts`);
    }
  }

  /** Starts it on the VM's memory. @throws GW_UPGRADE_REFUSED, GW_QEMU_START */
  static async start(options: SuccessorOptions): Promise<Successor> {
    const { guest } = options;
    const { vm } = guest;
    const paths = pathsOf(options);
    const kept = new Map(guest.layout.regions.map(({ id, index }) => [id, guest.files[index]!]));
    const plan = derive(options, kept);
    await using started = await start(options, paths, plan, []);
    const { identity, qmp } = started;
    const nics = nicsOf(options);
    await plugInTaps(nics);
    await checkMemory(options, identity.pid, qmp);
    const record: VmRecord = {
      ...vm,
      ...identity,
      binary: options.binary,
      args: plan.args,
      qmpPath: paths.qmp,
      consoleLogPath: plan.hasConsole ? paths.consoleLog : null,
      consoleSocketPath: plan.hasConsole ? paths.consoleSocket : null,
      ...(vm.nics === undefined ? {} : { nics }),
      adopted: false,
    };
    options.signal.throwIfAborted();
    started.keep();
    return new Successor({ identity, qmp }, { record, paths, notes: plan.notes });
  }

  /** As they were found; null: they were not changed. */
  get settings(): MigrationSettings | null {
    return this.#settings;
  }

  /** Its ear for the state of the devices is open when this returns. */
  async prepareToLoad(socketPath: string, signal: AbortSignal): Promise<DeviceStateLoad> {
    this.#settings = await borrowMigrationSettings(this.qmp, 'load');
    const load = loadDeviceState(this.qmp, socketPath, { logPath: this.paths.qemuLog, signal });
    // Whoever waits for `loaded` hears of a failure; until then nobody does.
    load.loaded.catch(() => undefined);
    await load.ready;
    return load;
  }

  /** Tells the network, or has the disks of a VM that stands still, and puts QEMU's settings back; after that it is the VM's user's. */
  async settleIn(wasRunning: boolean): Promise<void> {
    try {
      if (wasRunning) await announce(this.qmp);
      else await activateDisks(this.qmp, this.identity.pid);
      if (this.#settings) await restoreMigrationSettings(this.qmp, this.#settings);
    } finally {
      this.qmp.close();
    }
  }

  /** Ends it, and removes everything that was made for it. @returns whether it is gone */
  discard(): Promise<boolean> {
    return end(this);
  }
}

interface Starting extends StartedQemu, AsyncDisposable {
  /** Without it the QEMU is ended and its directory removed. */
  keep(): void;
}

async function start(
  { guest, binary, signal }: SuccessorOptions,
  paths: VmPaths,
  { args, linkedFiles }: Plan,
  ramPaths: readonly string[],
): Promise<Starting> {
  rmSync(paths.directory, { recursive: true, force: true });
  mkdirSync(paths.directory, { recursive: true, mode: 0o700 });
  try {
    // One file with two names: what the guest writes goes on where it ended.
    const { consoleLogPath } = guest.vm;
    if (ramPaths.length === 0 && consoleLogPath !== null) linkSync(consoleLogPath, paths.consoleLog);
    for (const { from, to } of linkedFiles.filter((file) => existsSync(file.from))) linkSync(from, to);
    const logPath = paths.qemuLog;
    const started = await startQemu({ binary, args, logPath, qmpPath: paths.qmp, ramPaths, signal });
    let isKept = false;
    return {
      ...started,
      keep: () => {
        isKept = true;
      },
      [Symbol.asyncDispose]: async () => {
        if (isKept || (await end({ ...started, paths }))) return;
        throw new GodwitError('GW_QEMU_START', { reason: 'it does not end although it was killed' });
      },
    };
  } catch (error) {
    rmSync(paths.directory, { recursive: true, force: true });
    throw error;
  }
}

/** @returns whether it is gone: one that does not end keeps its files, so that it is found again */
async function end({ identity, qmp, paths }: StartedQemu & { readonly paths: VmPaths }): Promise<boolean> {
  qmp.close();
  if (!(await killQemu(identity))) return false;
  rmSync(paths.directory, { recursive: true, force: true });
  return true;
}

function pathsOf({ guest, stateDirectory, instance }: SuccessorOptions): VmPaths {
  return vmPaths(stateDirectory, guest.vm.name, instance);
}

function nicsOf({ guest, instance }: SuccessorOptions): AttachedNic[] {
  return attach(guest.vm.nics ?? [], instance);
}

/** @param keptRam - undefined: memory of its own */
function derive(options: SuccessorOptions, keptRam: ReadonlyMap<string, string> | undefined): Plan {
  const { guest, args, allowedNetworkScripts, workingDirectory: sourceDirectory, refuse } = options;
  const { qmp: qmpPath, ram: ramPath, consoleSocket, consoleLog } = pathsOf(options);
  const { machineType, accel } = guest.facts;
  const derived = deriveDestination(args, {
    machineType,
    accel,
    endpoints: {
      ramPath,
      qmpPath,
      consoleSocketPath: consoleSocket,
      consoleLogPath: consoleLog,
      taps: tapsOf(nicsOf(options)),
    },
    sourceDirectory,
    allowedNetworkScripts,
    ...(keptRam ? { keptRam, goingDirectory: goingDirectoryOf(guest.vm) } : {}),
  });
  if (derived.kind === 'blocked') throw refuse(explainBlockers(derived.blockers));
  return derived;
}

/** Of one that somebody else started nothing goes but the process. */
function goingDirectoryOf({ adopted, qmpPath }: VmRecord): string | null {
  return adopted ? null : dirname(qmpPath);
}

/** It has the very files that the VM's memory is in, and has not touched them. */
async function checkMemory({ guest, refuse }: SuccessorOptions, pid: number, qmp: QmpClient): Promise<void> {
  const regions = await findGuestRam(qmp, pid);
  const isAll = regions.length === guest.layout.regions.length;
  for (const { id, index, bytes } of guest.layout.regions) {
    const region = regions.find((other) => other.id === id && other.bytes === bytes);
    const ours = identifyFile(guest.files[index]!);
    const theirs = region && identifyFile(region.fdPath);
    if (!isAll || !region || !ours || !theirs || !isSameFile(ours, theirs)) {
      throw new GodwitError('GW_QEMU_START', { reason: `the new QEMU does not have the VM's memory ${id}` });
    }
    using scanner = new DirtyScanner(pid, region.hostAddress, region.bytes);
    const touched = countPages(scanner.present());
    if (touched > 0)
      throw refuse(`the new QEMU has touched ${touched} pages of the VM's memory ${id} while it started`);
  }
}
