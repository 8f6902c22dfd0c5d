/**
 * One region of this host: its file, and the VMs that have it.
 */
import { GodwitError } from '../base/errors.ts';
import { formatSize } from '../base/units.ts';
import { type FileIdentity, identifyFile, isSameFile } from '../linux/file-users.ts';
import { isAlive, type ProcessIdentity, readMappings } from '../linux/process.ts';
import type { VmRecord } from '../migration/vm-record.ts';
import { parseArguments } from '../qemu/arguments.ts';
import { joinMappings } from '../qemu/ram.ts';
import { findSharedFiles, regionNameOf, type SharedRegion } from '../qemu/shared-memory.ts';
import type { SharedMemorySpec } from '../qemu/spec.ts';

/** A VM that runs. */
export type VmProcess = Pick<VmRecord, 'name' | 'pid' | 'startTicks' | 'args'>;

export interface RegionMember {
  readonly vm: string;
  /** null while its QEMU is being started. */
  readonly process: ProcessIdentity | null;
  /** No VM: its pages change hosts (`moving`), or have done so and the last word is outstanding. */
  readonly move?: 'moving' | 'moved';
}

/** What a process has mapped. */
export type MappedRegion = Pick<SharedRegion, 'name' | 'bytes' | 'path' | 'device' | 'inode'>;

export interface HostRegion extends FileIdentity {
  readonly name: string;
  readonly bytes: number;
  /** Of the file. */
  readonly path: string;
  /** The file was made here, and is removed here; that of an adopted VM is its owner's. */
  readonly isOurs: boolean;
  readonly members: readonly RegionMember[];
}

/** Of VMs. */
export function namesOf({ members }: Pick<HostRegion, 'members'>): string[] {
  return members.flatMap(({ vm, move }) => (move === undefined ? [vm] : [])).sort();
}

/** Why no further VM can have it; null when one can. */
export function problemOf({ path, bytes, ...region }: HostRegion): string | null {
  const file = identifyFile(path);
  if (!file) return `its file ${path} is gone`;
  if (!isSameFile(file, region)) return `another file is at ${path} now`;
  return file.bytes < bytes ? `its file ${path} has been cut to ${file.bytes} bytes` : null;
}

/**
 * Which of its VMs has it otherwise than once and whole: of such a QEMU not all accesses would be seen. null: none. VMs that this
 * daemon has made all have it so.
 */
export function misfitOf({ members, bytes, ...region }: HostRegion): string | null {
  for (const { vm, process } of members) {
    if (process === null || !isAlive(process)) continue;
    const mapped = readMappings(process.pid).filter((mapping) => isSameFile(mapping, region));
    const mappedBytes = mapped.reduce((sum, { start, end }) => sum + Number(end - start), 0);
    // It is just ending.
    if (mappedBytes === 0) continue;
    const [first, second] = joinMappings(mapped);
    const fix = `start VM ${vm} with all of it, once`;
    if (second) return `VM ${vm} has it more than once (${fix})`;
    if (mappedBytes === bytes && first && Number(first.end - first.start) === bytes) continue;
    return `VM ${vm} has ${formatSize(mappedBytes)} of it, which has ${formatSize(bytes)} (${fix})`;
  }
  return null;
}

/**
 * Who has it that is no VM which runs, and in whose hands it cannot change hosts; undefined: nobody. A QEMU that maps it while it
 * moves is watched by nobody: it would read zeros where pages are missing, and what it writes would be lost.
 */
export function occupantOf(region: Pick<HostRegion, 'members'> | undefined): string | undefined {
  const moving = region?.members.find(({ move }) => move === 'moving');
  if (moving) return `it is on its way between hosts (${moving.vm})`;
  const starting = region?.members.find(({ process, move }) => process === null && move === undefined);
  return starting && `VM ${starting.vm} is being started with it`;
}

/** @param index - of the spec in the VM's. @throws GW_INPUT_INVALID, GW_REGION_UNUSABLE where it cannot have the region */
export function refuseUnfit(
  { vm, move }: Pick<RegionMember, 'vm' | 'move'>,
  { name, sizeBytes }: SharedMemorySpec,
  index: number,
  region: HostRegion | undefined,
): void {
  if (!region) return;
  if (move === undefined && region.members.some((other) => other.move === 'moving')) {
    const fix = 'create the VM when it has moved (godwit group list), or give the shared memory another name';
    throw new GodwitError('GW_REGION_UNUSABLE', { vm, region: name, reason: occupantOf(region)!, fix });
  }
  const others = namesOf(region);
  if (region.bytes !== sizeBytes) {
    const owner = others.length > 0 ? `VM ${others.join(', ')}` : 'a process that is no VM of this host';
    const fix = `${owner} has the shared memory ${name} with ${formatSize(region.bytes)}: give VM ${vm} the same size, or another name`;
    const field = `sharedMemory[${index}].size`;
    throw new GodwitError('GW_INPUT_INVALID', { field, value: formatSize(sizeBytes), fix });
  }
  const reason = problemOf(region);
  if (reason === null) return;
  const fix = `stop ${others.join(', ')} first, so that it is made anew, or give the shared memory another name`;
  throw new GodwitError('GW_REGION_UNUSABLE', { vm, region: name, reason, fix });
}

export function isProcess({ process }: RegionMember, { pid, startTicks }: ProcessIdentity): boolean {
  return process?.pid === pid && process.startTicks === startTicks;
}

/** Without asking QEMU: what its command line names and its process maps. */
export function sharedFilesOf({ pid, args }: VmProcess): MappedRegion[] {
  const shared = findSharedFiles(parseArguments(args));
  if (shared.length === 0) return [];
  const mapped = joinMappings(readMappings(pid));
  return shared.flatMap(({ path }) => {
    const file = mapped.find((candidate) => candidate.path.replace(/ \(deleted\)$/, '') === path);
    if (!file) return [];
    const { device, inode, start, end } = file;
    return [{ name: regionNameOf(path), bytes: Number(end - start), path, device, inode }];
  });
}

/** Files of adopted VMs may have names that are taken. */
export function freeName(name: string, taken: { has(name: string): boolean }): string {
  let free = name;
  for (let count = 2; taken.has(free); count++) free = `${name}-${count}`;
  return free;
}
