/**
 * Names of a block device that no other device in the world has, as Linux tells them in sysfs.
 *
 * Must hold: what is no proof is no name. Serial numbers of a vendor's own kind (`t10.…`, `nvme.…`) are none: every virtual
 * machine has a `QM00001`. The UUID of a logical volume is none either without the devices that it lies on: copies of one
 * installed system have the same.
 * https://docs.kernel.org/admin-guide/abi-stable-files.html (sysfs), SPC-4 7.8.6 (designators), NVMe 4.5.1 (namespaces)
 */
import { readdirSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';

/** Registered names: IEEE's (NAA, EUI-64, NGUID) and UUIDs. */
const WORLDWIDE = /^(naa|eui|uuid)\.[0-9a-f-]{16,}$/i;
/** Device-mapper devices on multipath, RAID and so on have slaves in turn. */
const MAX_DEPTH = 8;

/**
 * @param sysfs - for tests
 * @returns empty where the device cannot be told from others; sorted, so that equal lists are the same device
 */
export function identifyDevice(major: number, minor: number, sysfs = '/sys'): readonly string[] {
  try {
    return namesOf(realpathSync(join(sysfs, 'dev/block', `${major}:${minor}`)), 0).toSorted();
  } catch {
    return [];
  }
}

function namesOf(directory: string, depth: number): string[] {
  if (depth > MAX_DEPTH) return [];
  const partition = read(directory, 'partition');
  if (partition !== undefined) {
    return namesOf(join(directory, '..'), depth + 1).map((name) => `${name} part ${partition}`);
  }
  const cluster = read(directory, 'device/cluster_fsid');
  if (cluster !== undefined) {
    const place = ['pool_id', 'image_id', 'current_snap'].map((name) => read(directory, `device/${name}`) ?? '');
    return place[1] === '' ? [] : [`rbd.${cluster}.${place.join('.')}`];
  }
  const mapped = read(directory, 'dm/uuid');
  if (mapped !== undefined) {
    const slaves = list(join(directory, 'slaves'));
    const below = slaves.map((slave) => namesOf(realpathSync(join(directory, 'slaves', slave)), depth + 1));
    // Of a device that lies on several each has to be known.
    if (mapped === '' || slaves.length === 0 || below.some((names) => names.length === 0)) return [];
    return [...new Set([`dm.${mapped}`, ...below.flat()])];
  }
  const name = (read(directory, 'wwid') ?? read(directory, 'device/wwid'))?.toLowerCase();
  return name !== undefined && WORLDWIDE.test(name) ? [name] : [];
}

function list(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function read(directory: string, name: string): string | undefined {
  try {
    return readFileSync(join(directory, name), 'utf8').trim();
  } catch {
    return undefined;
  }
}
