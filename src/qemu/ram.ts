/**
 * The guest's RAM as QEMU has it: which backends there are, where they lie in QEMU and through which descriptor this
 * process can open the same file.
 *
 * Must hold: a region is matched to its mapping by its file, or by asking QEMU for the address of one of its bytes;
 * never by guessing between two that fit.
 */
import { statfsSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { GodwitError } from '../base/errors.ts';
import { PAGE_SIZE } from '../base/page.ts';
import { deviceName, type FileIdentity, identifyFile, isSameFile } from '../linux/file-users.ts';
import type { MemoryMapping, OpenFile } from '../linux/process.ts';
import { listOpenFiles, readMappings } from '../linux/process.ts';
import type { QmpClient } from './qmp.ts';
import { askQemu } from './qmp-ask.ts';
import { askBackendAddress } from './ram-address.ts';
import { isRegionFile, listSharingDevices, type SharedBackend } from './shared-memory.ts';

/** RAM that godwit can move. */
export interface RamRegion {
  /** QEMU's id of the memory backend; the same on both hosts. */
  readonly id: string;
  readonly bytes: number;
  /** Address of its first byte in QEMU. */
  readonly hostAddress: bigint;
  /** Opens the same file: `/proc/PID/fd/N`. */
  readonly fdPath: string;
  readonly shared: boolean;
  /** A file with a name, in QEMU's eyes: what x-ignore-shared leaves out from QEMU 8.1 on. */
  readonly named: boolean;
  readonly pageSize: number;
}

/** Any memory backend, movable or not. */
export interface RamBackend {
  readonly id: string;
  readonly bytes: number;
  /** Such as `memory-backend-file`. */
  readonly type: string;
  readonly shared: boolean;
  /** null when it is no shared mapping of a file. */
  readonly place: RamPlace | null;
}

export interface RamPlace extends FileIdentity {
  /** As QEMU has it mapped. */
  readonly path: string;
  readonly hostAddress: bigint;
  readonly fdPath: string;
  readonly pageSize: number;
  /** userfaultfd knows these two; a file on a disk cannot be tracked. */
  readonly fileSystem: 'tmpfs' | 'hugetlbfs' | 'other';
}

/** A file that QEMU has mapped from its first byte on, neighbouring mappings joined. */
interface MappedFile extends FileIdentity {
  readonly start: bigint;
  readonly end: bigint;
  readonly path: string;
}

export interface InspectedRam {
  /** The guest's own. */
  readonly ram: readonly RamBackend[];
  /** What it shares with other VMs. */
  readonly shared: readonly SharedBackend[];
}

/** statfs(2) */
const TMPFS_MAGIC = 0x01021994;
const HUGETLBFS_MAGIC = 0x958458f6;
/** QEMU shares smaller files with helpers of its own. */
const SMALLEST_RAM_BYTES = 2 ** 20;
/** Backends that are files; memory-backend-ram may be shared but has no file that it can be found by. */
const FILE_TYPES = new Set(['memory-backend-file', 'memory-backend-memfd']);

/** Every RAM region. Throws GW_MIGRATION_BLOCKED when one is no shared file (see `findBlockers` for all reasons). */
export async function findGuestRam(qmp: QmpClient, pid: number): Promise<RamRegion[]> {
  return movableRam((await inspectRam(qmp, pid)).ram, pid);
}

/** Throws GW_MIGRATION_BLOCKED when a backend is no shared file. */
export function movableRam(backends: readonly RamBackend[], pid: number): RamRegion[] {
  return backends.map(({ id, bytes, type, shared, place }) => {
    if (place === null) {
      throw new GodwitError('GW_MIGRATION_BLOCKED', { vm: String(pid), reason: `its RAM ${id} is no shared file` });
    }
    const { hostAddress, fdPath, pageSize } = place;
    return { id, bytes, hostAddress, fdPath, shared, named: type === 'memory-backend-file', pageSize };
  });
}

export async function inspectRam(qmp: QmpClient, pid: number): Promise<InspectedRam> {
  const [devices, sharing] = await Promise.all([
    qmp.execute<{ id?: string; size: number; share?: boolean }[]>('query-memdev'),
    listSharingDevices(qmp),
  ]);
  // query-memdev lists the newest first; the order of creation is the same at the destination.
  devices.reverse();
  // All at once: QEMU's main loop takes milliseconds for an answer while a vCPU works.
  const properties = await Promise.all(
    devices.map(({ id = '' }) => Promise.all([readProperty(qmp, id, 'type'), readProperty(qmp, id, 'mem-path')])),
  );
  const mapped = joinMappings(readMappings(pid));
  const files = listOpenFiles(pid);
  const backends: RamBackend[] = [];
  for (const [i, { id = '', size, share }] of devices.entries()) {
    const [type = '', path = ''] = properties[i]!;
    const inFile = FILE_TYPES.has(type) && share !== false;
    const file = inFile
      ? await findMappedFile(qmp, { id, bytes: size, path, named: namedFile(pid, path) }, mapped)
      : undefined;
    const place = file === undefined ? null : describePlace(pid, file, files);
    backends.push({ id, bytes: size, type, shared: share ?? place !== null, place });
  }
  const shared = backends.flatMap((backend): SharedBackend[] => {
    const device = sharing.find(({ backend: id }) => id === backend.id);
    return device === undefined ? [] : [{ ...backend, device }];
  });
  return { ram: backends.filter(({ id }) => !shared.some((other) => other.id === id)), shared };
}

/** Files that are RAM of this process alone, as far as they can be told from outside, and without asking QEMU. */
export function findRamFiles(pid: number): { readonly path: string; readonly bytes: number }[] {
  const files = listOpenFiles(pid);
  return joinMappings(readMappings(pid)).flatMap((file) => {
    const bytes = Number(file.end - file.start);
    if (bytes < SMALLEST_RAM_BYTES || isRegionFile(file.path)) return [];
    const { fdPath: path, fileSystem } = describePlace(pid, file, files);
    return fileSystem === 'other' ? [] : [{ path, bytes }];
  });
}

/** Shared file mappings, neighbours of one file joined (userfaultfd and numa policies split them). */
export function joinMappings(mappings: readonly MemoryMapping[]): MappedFile[] {
  const files: MappedFile[] = [];
  for (const mapping of mappings) {
    if (!mapping.permissions.endsWith('s') || mapping.inode === 0) continue;
    const last = files.at(-1);
    const { start, end, device, inode, path } = mapping;
    if (last?.end === start && last.inode === inode && last.device === device && mapping.offset > 0) {
      files[files.length - 1] = { ...last, end };
    } else if (mapping.offset === 0) {
      files.push({ start, end, device, inode, path });
    }
  }
  return files;
}

async function findMappedFile(
  qmp: QmpClient,
  backend: {
    readonly id: string;
    readonly bytes: number;
    readonly path: string;
    readonly named: FileIdentity | undefined;
  },
  mapped: readonly MappedFile[],
): Promise<MappedFile | undefined> {
  const fitting = mapped.filter((file) => Number(file.end - file.start) === backend.bytes);
  const same = fitting.filter((file) => backend.named && isSameFile(file, backend.named));
  if (same.length === 1) return same[0];
  const named = fitting.filter((file) => isBelow(file.path, backend.path));
  if (named.length === 1) return named[0];
  if (fitting.length <= 1) return fitting[0];
  const address = await askBackendAddress(qmp, backend.id);
  return fitting.find((file) => file.start === address);
}

/** The file that `mem-path` names for that process: relative to its directory, and in its own tree of mounts. */
function namedFile(pid: number, path: string): FileIdentity | undefined {
  if (path === '') return undefined;
  try {
    return identifyFile(isAbsolute(path) ? `/proc/${pid}/root${path}` : `/proc/${pid}/cwd/${path}`);
  } catch {
    // Its name cannot be looked up by us; it is found by its text or by its address.
    return undefined;
  }
}

/** QEMU given a directory makes a file in it; the name is gone once the file is open. */
function isBelow(path: string, memPath: string): boolean {
  const name = path.replace(/ \(deleted\)$/, '');
  return memPath !== '' && (name === memPath || name.startsWith(`${memPath}/`));
}

function describePlace(pid: number, file: MappedFile, files: readonly OpenFile[]): RamPlace {
  const open = files.find(
    (candidate) => candidate.inode === file.inode && deviceName(candidate.device) === file.device,
  );
  const range = `${file.start.toString(16)}-${file.end.toString(16)}`;
  const fdPath = open === undefined ? `/proc/${pid}/map_files/${range}` : `/proc/${pid}/fd/${open.fd}`;
  const { type, bsize } = statfsSync(fdPath);
  const fileSystem = type === TMPFS_MAGIC ? 'tmpfs' : type === HUGETLBFS_MAGIC ? 'hugetlbfs' : 'other';
  const { start: hostAddress, path, device, inode } = file;
  return {
    hostAddress,
    fdPath,
    path,
    device,
    inode,
    pageSize: fileSystem === 'hugetlbfs' ? bsize : PAGE_SIZE,
    fileSystem,
  };
}

/** undefined where the backend has none of that name. */
function readProperty(qmp: QmpClient, id: string, property: string): Promise<string | undefined> {
  return askQemu<string>(qmp, 'qom-get', { path: `/objects/${id}`, property });
}
