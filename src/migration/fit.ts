/**
 * Does an offered VM fit this host? Looked at before its QEMU is created, and when it waits (V2).
 *
 * Owns: choosing the QEMU binary and deriving the command line, and asking qemu/fit.ts about memory, files, machine type
 * and accelerator, and network/bridge-check.ts about bridges; and comparing what only a running QEMU knows (the CPU as the guest sees it) once it waits.
 * Must never: run a program because a peer names it; only what this host's administrator has put there as a QEMU.
 */
import { realpathSync, type Stats, statSync } from 'node:fs';
import { basename, dirname, isAbsolute } from 'node:path';
import { findNetworkBlockers } from '../network/bridge-check.ts';
import { attach, readNics, tapsOf } from '../network/nic.ts';
import { probeQemuBinary } from '../qemu/binary.ts';
import type { Blocker } from '../qemu/blocker.ts';
import { parseCpuFeature } from '../qemu/cpu-features.ts';
import { type Derived, deriveDestination } from '../qemu/derive.ts';
import type { VmFacts } from '../qemu/facts.ts';
import { compareVms, findBinaryBlockers, findFitBlockers, type ToldMachine, visibleMachine } from '../qemu/fit.ts';
import { findBinary } from '../qemu/process.ts';
import type { Accelerator } from '../qemu/spec.ts';
import { diskServerPaths } from '../storage/vm-disks/disk-server-record.ts';
import type { OfferedDisk } from '../wire/disk-messages.ts';
import type { Message, OfferedVm } from '../wire/messages.ts';
import { explainBlockers } from './blocked.ts';
import { fitDisks, type ImagesDirectory, movedImages, type PlannedDisk } from './disk-fit.ts';
import { readOfferedDisks } from './served-disks.ts';
import type { SharedPaths } from './shared-part.ts';
import { vmPaths } from './vm-record.ts';

export interface Fit {
  readonly blockers: readonly Blocker[];
  readonly notes: readonly string[];
}

/** Where on this host the VM's files will be, and what its command line may name. */
export interface DestinationPlace {
  readonly stateDirectory: string;
  /** Tells this instance of the VM from others on the same machine. */
  readonly instance: string;
  readonly allowedNetworkScripts: readonly string[];
  readonly sharedPaths?: SharedPaths;
  /** See `ImagesDirectory`. */
  readonly images: ImagesDirectory;
}

/** When the source's binary is not at the same path here, or is nothing that this host would run. */
const FALLBACK_BINARY = 'qemu-system-x86_64';

const QEMU_NAME = /^qemu(-system-[a-z0-9_]+)?$/;
const WRITABLE_BY_OTHERS = 0o022;

export function chooseBinary(vm: Pick<OfferedVm, 'binary'>): string {
  return findObjection(vm.binary) === undefined ? vm.binary : FALLBACK_BINARY;
}

/** Why what a peer names is not run here; undefined when it may be. A name without directory is looked up in PATH. */
export function findObjection(binary: string): string | undefined {
  if (!QEMU_NAME.test(basename(binary))) return `${binary} is not named like a QEMU`;
  if (!binary.includes('/')) return undefined;
  if (!isAbsolute(binary)) return `${binary} is a relative path`;
  try {
    const file = realpathSync(binary);
    if (!statSync(file).isFile()) return `${binary} is no file`;
    const unsafe = [file, dirname(file), dirname(binary)].find((path) => !isOurs(statSync(path)));
    return unsafe === undefined ? undefined : `others than root can change ${unsafe}`;
  } catch {
    return `${binary} is not on this host`;
  }
}

function isOurs({ uid, mode }: Stats): boolean {
  return (uid === 0 || uid === process.geteuid?.()) && (mode & WRITABLE_BY_OTHERS) === 0;
}

export function memoryOf(vm: OfferedVm): number {
  return vm.memory.regions.reduce((sum, region) => sum + region.bytes, 0);
}

/**
 * Why the VM that waits here is not the machine that its guest knows; undefined when there is no difference. What the
 * offer does not tell is not compared.
 */
export function explainDifferences(vm: OfferedVm, facts: VmFacts): string | undefined {
  const unread = vm.cpuFeatures.find((text) => parseCpuFeature(text) === undefined);
  if (unread !== undefined) return `its CPU features cannot be read here: ${unread}`;
  const blockers = compareVms(machineOf(vm), visibleMachine(facts));
  if (blockers.length === 0) return undefined;
  return [explainBlockers(blockers), ...noteVersions(vm, facts.qemuVersion)].join('; ');
}

/** Other versions of QEMU are no obstacle, and explain others. */
export function noteVersions(vm: Pick<OfferedVm, 'qemuVersion'>, ours: string): string[] {
  return vm.qemuVersion === ours ? [] : [`QEMU ${vm.qemuVersion} there, ${ours} here`];
}

function machineOf({ machineType, accel, cpuModel, cpuFeatures, facts }: OfferedVm): ToldMachine {
  const { vcpus, devices } = facts;
  return {
    machineType,
    accel,
    cpuModel,
    cpuFeatures: cpuFeatures.flatMap((text) => parseCpuFeature(text) ?? []),
    vcpus: typeof vcpus === 'number' ? vcpus : undefined,
    devices: Array.isArray(devices) && devices.every(isDeviceName) ? devices : undefined,
  };
}

/** It becomes part of a message to people. */
function isDeviceName(value: unknown): value is string {
  return typeof value === 'string' && /^[\x20-\x7e]{1,255}$/.test(value);
}

export function placeOf(
  { migrationId }: Pick<Message<'offer'>, 'migrationId'>,
  { stateDirectory, allowedNetworkScripts, sharedPaths, images }: Omit<DestinationPlace, 'instance'>,
): DestinationPlace {
  const place = { stateDirectory, allowedNetworkScripts, images, instance: migrationId.slice(0, 8) };
  return sharedPaths ? { ...place, sharedPaths } : place;
}

/** The command line that the VM will have here, or why it can have none. @param disks - as they will be here */
export function deriveOffered(vm: OfferedVm, place: DestinationPlace, disks: readonly PlannedDisk[] = []): Derived {
  const paths = vmPaths(place.stateDirectory, vm.name, place.instance);
  const endpoints = {
    ramPath: paths.ram,
    qmpPath: paths.qmp,
    consoleSocketPath: paths.consoleSocket,
    consoleLogPath: paths.consoleLog,
    sharedPaths: new Map(Object.entries(place.sharedPaths ?? {})),
    nbdSocketPath: diskServerPaths(paths.directory).nbdSocket,
    taps: tapsOf(attach(readNics(vm.facts), place.instance)),
  };
  const { allowedNetworkScripts } = place;
  const { directory } = vm.facts;
  const served = readOfferedDisks(vm);
  return deriveDestination(vm.args, {
    machineType: vm.machineType,
    accel: acceleratorOf(vm),
    endpoints,
    allowedNetworkScripts,
    movedImages: movedImages(disks),
    ...(served ? { sourceNbdSocket: served.socket } : {}),
    ...(typeof directory === 'string' && isAbsolute(directory) ? { sourceDirectory: directory } : {}),
  });
}

/**
 * What the VM's QEMU of this host lacks by its own word, and what is worth knowing of it. That takes three runs of it: whoever
 * is in a hurry starts the VM's QEMU instead, and asks when that fails.
 * @throws GW_QEMU_START when it does not answer
 */
export async function findBinaryFit(vm: OfferedVm): Promise<Fit> {
  const binary = await probeQemuBinary(chooseBinary(vm));
  const blockers = findBinaryBlockers(binary, { machineType: vm.machineType, accel: acceleratorOf(vm) });
  return { blockers, notes: noteVersions(vm, binary.version) };
}

/**
 * All but `findBinaryFit`.
 * @param disks - as they were offered
 * @throws GW_QEMU_START when there is no QEMU
 */
export async function findFit(
  vm: OfferedVm,
  place: DestinationPlace,
  disks: readonly OfferedDisk[] = [],
): Promise<Fit> {
  const path = findBinary(chooseBinary(vm));
  const fit = fitDisks(disks, place.images);
  const derived = deriveOffered(vm, place, fit.disks);
  const unfit = findFitBlockers({
    args: derived.kind === 'derived' ? derived.args : vm.args,
    accel: acceleratorOf(vm),
    memoryBytes: memoryOf(vm),
    ramPath: vmPaths(place.stateDirectory, vm.name, place.instance).ram,
  });
  // That an image is missing is said of its disk.
  const told = new Set([...disks, ...fit.disks].map(({ path }) => path));
  const isTold = ({ id, what }: Blocker): boolean => id === 'missing-file' && told.has(what);
  const blockers = [
    ...(derived.kind === 'derived' ? [] : derived.blockers),
    ...fit.blockers,
    ...unfit.filter((blocker) => !isTold(blocker)),
    ...(await findNetworkBlockers(readNics(vm.facts))),
  ];
  const objection = findObjection(vm.binary);
  return { blockers, notes: objection === undefined ? [] : [`${objection}; using ${path}`] };
}

function acceleratorOf(vm: OfferedVm): Accelerator {
  return vm.accel === 'kvm' ? 'kvm' : 'tcg';
}
