/**
 * Whether a VM can run on this host: before QEMU is started for it, and once its QEMU waits.
 *
 * Must hold: everything that can be seen in advance is said in advance, all of it at once, each with its cure (what the QEMU
 * itself lacks, which takes runs of it, by a check, or once it would not start); what the guest sees of the CPU is compared
 * bit by bit and not by model names.
 */
import { accessSync, constants } from 'node:fs';
import { isAbsolute } from 'node:path';
import { findShortages } from '../linux/memory-room.ts';
import { readKvmFacts } from './accelerator.ts';
import { parseArguments } from './arguments.ts';
import type { QemuBinary } from './binary.ts';
import type { Blocker } from './blocker.ts';
import { type CpuFeatureWord, compareCpuFeatures } from './cpu-features.ts';
import type { VmFacts } from './facts.ts';
import { listFiles } from './file-references.ts';
import type { Accelerator } from './spec.ts';

export interface FitQuestion {
  /** The derived command line, or the source's own when there is none to derive. */
  readonly args: readonly string[];
  readonly accel: Accelerator;
  readonly memoryBytes: number;
  /** Where the RAM file will be: its file system must have room. */
  readonly ramPath: string;
}

/** What the guest sees of the machine that it runs on. */
export interface VisibleMachine {
  readonly machineType: string;
  readonly accel: string;
  readonly cpuModel: string;
  /** Empty when QEMU does not tell. */
  readonly cpuFeatures: readonly CpuFeatureWord[];
  readonly vcpus: number;
  /** Of each its id, if it has one, and its type. */
  readonly devices: readonly string[];
}

/** As far as another host tells of it. */
export interface ToldMachine extends Omit<VisibleMachine, 'vcpus' | 'devices'> {
  readonly vcpus: number | undefined;
  readonly devices: readonly string[] | undefined;
}

const RESTART_FIX = 'restart the VM, so that its command line says all that it has';

export function visibleMachine(facts: VmFacts): VisibleMachine {
  const { machineType, accel, cpuModel, cpuFeatures } = facts;
  const devices = facts.devices.map(({ id, type }) => (id === '' ? type : `${id} (${type})`));
  return { machineType, accel, cpuModel, cpuFeatures, vcpus: facts.vcpuTids.length, devices };
}

/** What this host lacks, whatever its QEMU can do. */
export function findFitBlockers(question: FitQuestion): Blocker[] {
  return [...findLackOfKvm(question.accel), ...findMissingFiles(question.args), ...findRoom(question)];
}

/** What this host's QEMU lacks. */
export function findBinaryBlockers(
  binary: QemuBinary,
  { machineType, accel }: { readonly machineType: string; readonly accel: Accelerator },
): Blocker[] {
  const found: Blocker[] = [];
  if (!binary.machines.includes(machineType)) {
    const reason = `QEMU ${binary.version} of this host has no such machine type`;
    found.push({
      id: 'machine-type',
      what: machineType,
      reason,
      fix: 'install the QEMU version of the source or a newer one',
    });
  }
  if (!binary.accels.includes(accel)) {
    found.push(noAccelerator(accel, `QEMU ${binary.version} of this host was built without ${accel}`));
  }
  return found;
}

/** Compares the source VM with the destination's waiting QEMU; what was not told is not compared. */
export function compareVms(source: ToldMachine, destination: VisibleMachine): Blocker[] {
  const cpu = compareCpuFeatures(source.cpuFeatures, destination.cpuFeatures).join(' and ');
  const found: Blocker[] = [];
  if (cpu !== '') {
    found.push({
      id: 'cpu-features',
      what: `-cpu ${source.cpuModel}`,
      reason: `the guest would see another CPU: this host ${cpu}`,
      fix: 'start the VM with a -cpu model that both hosts have in full, such as qemu64 or a named one',
    });
  }
  const pairs: readonly [string, string | number | undefined, string | number][] = [
    ['machine-type', source.machineType, destination.machineType],
    ['accelerator', source.accel, destination.accel],
    ['vcpus', source.vcpus, destination.vcpus],
  ];
  for (const [id, ours, theirs] of pairs) {
    if (ours === undefined || ours === theirs) continue;
    found.push({ id, what: id, reason: `it is ${ours} at the source and ${theirs} here`, fix: RESTART_FIX });
  }
  return [...found, ...compareDevices(source.devices, destination.devices)];
}

/** As many of each, in whatever order they were plugged. */
function compareDevices(ours: ToldMachine['devices'], theirs: VisibleMachine['devices']): Blocker[] {
  if (ours === undefined) return [];
  const lacking = subtract(ours, theirs);
  const additional = subtract(theirs, ours);
  const ways = [
    ...(lacking.length > 0 ? [`lacks ${lacking.join(', ')}`] : []),
    ...(additional.length > 0 ? [`has in addition ${additional.join(', ')}`] : []),
  ];
  if (ways.length === 0) return [];
  return [{ id: 'devices', what: 'devices', reason: `the VM here ${ways.join(' and ')}`, fix: RESTART_FIX }];
}

function subtract(from: readonly string[], what: readonly string[]): string[] {
  const left = [...from].sort();
  for (const each of what) {
    const index = left.indexOf(each);
    if (index >= 0) left.splice(index, 1);
  }
  return left;
}

function findLackOfKvm(accel: Accelerator): Blocker[] {
  if (accel === 'tcg') return [];
  const { deviceError } = readKvmFacts();
  if (deviceError === undefined) return [];
  return [noAccelerator(accel, `/dev/kvm of this host does not open: ${deviceError}`)];
}

function noAccelerator(accel: Accelerator, reason: string): Blocker {
  return { id: 'accelerator', what: accel, reason, fix: `choose a host with ${accel}` };
}

function findMissingFiles(args: readonly string[]): Blocker[] {
  return listFiles(parseArguments(args)).flatMap(({ path, where, writable }): Blocker[] => {
    // A relative path is one of the source: that it blocks is said where the command line is derived.
    if (!isAbsolute(path)) return [];
    const error = accessError(path, writable ? constants.R_OK | constants.W_OK : constants.R_OK);
    if (error === undefined) return [];
    const fix = 'put the same file (for disks: on storage that both hosts share) at the same path on this host';
    return [{ id: 'missing-file', what: path, reason: `${where}: ${error}`, fix }];
  });
}

/** What others were promised is the host's to know: it asks once more when it lets the VM in. */
function findRoom({ memoryBytes, ramPath }: FitQuestion): Blocker[] {
  return findShortages({ ramBytes: memoryBytes, ramPath, promisedBytes: 0 }).map(({ resource, needed, available }) => ({
    id: 'no-room',
    what: resource,
    reason: `${needed} needed, ${available} available on this host`,
    fix: 'free memory on this host or choose another one',
  }));
}

function accessError(path: string, mode: number): string | undefined {
  try {
    accessSync(path, mode);
    return undefined;
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    return code === 'ENOENT' ? 'no such file on this host' : `may not be opened on this host (${code})`;
  }
}
