/**
 * Does an offered VM fit this host? Looked at before its QEMU is created (V2).
 *
 * Owns: choosing the QEMU binary, and asking qemu/fit.ts about memory, files, machine type and accelerator. What only a
 * running QEMU knows (the CPU as the guest sees it) is compared when it waits.
 * Must never: run a program because a peer names it; only what this host's administrator has put there as a QEMU.
 */
import { realpathSync, type Stats, statSync } from 'node:fs';
import { basename, dirname, isAbsolute } from 'node:path';
import { probeQemuBinary } from '../qemu/binary.ts';
import type { Blocker } from '../qemu/blocker.ts';
import { findFitBlockers } from '../qemu/fit.ts';
import type { OfferedVm } from '../wire/messages.ts';

export interface Fit {
  readonly blockers: readonly Blocker[];
  readonly notes: readonly string[];
}

/** When the source's binary is not at the same path here, or is nothing that this host would run. */
const FALLBACK_BINARY = 'qemu-system-x86_64';
const RAM_DIRECTORY_FILE = '/dev/shm/godwit';

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

/** @throws GW_QEMU_START when there is no usable QEMU */
export async function findFit(vm: OfferedVm): Promise<Fit> {
  const name = chooseBinary(vm);
  const binary = await probeQemuBinary(name);
  const blockers = findFitBlockers({
    binary,
    args: vm.args,
    machineType: vm.machineType,
    accel: vm.accel === 'kvm' ? 'kvm' : 'tcg',
    memoryBytes: memoryOf(vm),
    ramPath: RAM_DIRECTORY_FILE,
  });
  const notes: string[] = [];
  const objection = findObjection(vm.binary);
  if (objection !== undefined) notes.push(`${objection}; using ${binary.path}`);
  if (binary.version !== vm.qemuVersion) notes.push(`QEMU ${vm.qemuVersion} there, ${binary.version} here`);
  return { blockers, notes };
}
