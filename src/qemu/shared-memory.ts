/**
 * Memory that a VM shares with other VMs of its host: what stands behind its ivshmem devices.
 *
 * Must hold: such a backend is never RAM of the VM, which moves with it: the VMs that share it have it together.
 */
import { basename } from 'node:path';
import { isSameFile } from '../linux/file-users.ts';
import { type Argument, readOptions } from './arguments.ts';
import type { Blocker } from './blocker.ts';
import { listDevices } from './facts.ts';
import type { QmpClient } from './qmp.ts';
import { askQemu } from './qmp-ask.ts';
import type { RamBackend } from './ram.ts';

/** A device by which the guest has shared memory. */
export interface SharingDevice {
  /** Its id, or its type when it was given none. */
  readonly what: string;
  /** Id of the memory backend. */
  readonly backend: string;
  /** Whether QEMU would migrate it. */
  readonly isMaster: boolean;
}

/** A backend behind such a device, movable or not. */
export interface SharedBackend extends RamBackend {
  readonly device: SharingDevice;
}

/** Memory that other VMs can have as well: a file that this VM maps. */
export interface SharedRegion {
  /** QEMU's id of the memory backend. */
  readonly id: string;
  /** Of the region where the file is one of godwit's, else made of the file's name. */
  readonly name: string;
  readonly bytes: number;
  /** Address of its first byte in QEMU. */
  readonly hostAddress: bigint;
  /** Opens the same file: `/proc/PID/fd/N`. */
  readonly fdPath: string;
  /** As QEMU has it; ends in ` (deleted)` when the file has no name any more. */
  readonly path: string;
  /** As /proc/PID/maps has it. */
  readonly device: string;
  readonly inode: number;
}

/** Id of the blocker that is none for a migration of the VM's whole group. */
export const GROUP_MEMBER = 'shared-memory';

/** What every name of a region is made of. */
const FOREIGN_CHARACTERS = /[^A-Za-z0-9._-]/g;
const MAX_NAME_CHARACTERS = 63;
const FILE_NAME = /^godwit-region-[0-9a-f]{8}-(.+)$/;

/** @param tag - eight hexadecimal digits that keep the files of two hosts on one machine apart */
export function regionFileName(tag: string, region: string): string {
  return `godwit-region-${tag}-${region}`;
}

/** Whether it is a file that a godwit made for a region. */
export function isRegionFile(path: string): boolean {
  return FILE_NAME.test(basename(path));
}

/** The region of which this is the file, or a name made of the file's own. */
export function regionNameOf(path: string): string {
  const file = basename(path.replace(/ \(deleted\)$/, ''));
  const name = (FILE_NAME.exec(file)?.[1] ?? file).replaceAll(FOREIGN_CHARACTERS, '_').replace(/^[._-]+/, '');
  return name === '' ? 'shared' : name.slice(0, MAX_NAME_CHARACTERS);
}

/** The regions among them: what others can have, too. */
export function sharedRegions(backends: readonly SharedBackend[]): SharedRegion[] {
  return backends.flatMap(({ id, bytes, place }): SharedRegion[] => {
    if (place === null) return [];
    const { hostAddress, fdPath, path, device, inode } = place;
    // Two devices with one file are one region.
    return [{ id, name: regionNameOf(path), bytes, hostAddress, fdPath, path, device, inode }];
  });
}

/** Every region once, however many devices have it. */
export function distinctRegions(regions: readonly SharedRegion[]): SharedRegion[] {
  return regions.filter((region, index) => regions.findIndex((other) => isSameFile(other, region)) === index);
}

/** The devices of a running QEMU, whoever started it and however they came. */
export async function listSharingDevices(qmp: QmpClient): Promise<SharingDevice[]> {
  const homes = ['/machine/peripheral', '/machine/peripheral-anon'];
  const lists = await Promise.all(homes.map((home) => listDevices(qmp, home)));
  const found = lists.flatMap((devices, index) =>
    devices.flatMap(({ id, type }) =>
      // The name of one without an id, such as `device[3]`, is no id.
      type === 'ivshmem-plain' ? [{ path: `${homes[index]}/${id}`, what: index === 0 ? id : type }] : [],
    ),
  );
  return Promise.all(
    found.map(async ({ path, what }) => {
      const [backend, master] = await Promise.all([
        askQemu<string>(qmp, 'qom-get', { path, property: 'memdev' }),
        askQemu<string>(qmp, 'qom-get', { path, property: 'master' }),
      ]);
      return { what, backend: basename(backend ?? ''), isMaster: master === 'on' };
    }),
  );
}

/** Ids of the backends behind the sharing devices of a command line. */
export function findSharedIds(args: readonly Argument[]): Set<string> {
  const ids = args.flatMap((argument) => {
    if (argument.option !== 'device') return [];
    const options = readOptions(argument);
    return options.get('driver') === 'ivshmem-plain' ? (options.get('memdev') ?? []) : [];
  });
  return new Set(ids);
}

/** The files behind the sharing devices of a command line, as far as it names them. */
export function findSharedFiles(args: readonly Argument[]): { readonly id: string; readonly path: string }[] {
  const ids = findSharedIds(args);
  return args.flatMap((argument) => {
    if (argument.option !== 'object') return [];
    const options = readOptions(argument);
    const id = options.get('id') ?? '';
    const path = options.get('mem-path');
    return ids.has(id) && path !== undefined ? [{ id, path }] : [];
  });
}

/** @param region - any of its regions names a group */
export function groupMember(region: string): Blocker {
  const reason = 'it is memory that the VM shares with other VMs of its host, which have to move together';
  return { id: GROUP_MEMBER, what: region, reason, fix: `move its group: godwit group migrate ${region} --to HOST` };
}
