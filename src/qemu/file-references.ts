/**
 * The files of the host that a QEMU command line names and that must be there before QEMU starts: kernel, firmware,
 * disk images, secrets, network scripts.
 *
 * Must hold: what QEMU makes itself (sockets, logs, RAM files) is not among them; names that QEMU looks up in its own
 * data directory (a bare `bios-256k.bin`) and protocols (`nbd:…`) are not either.
 */
import type { JsonValue } from '../base/errors.ts';
import { type Argument, readOptions } from './arguments.ts';
import { parseObject } from './option-string.ts';

export interface FileReference {
  readonly path: string;
  /** Where it is named, such as `-drive file`. */
  readonly where: string;
  readonly writable: boolean;
}

type Visit = (reference: FileReference) => string;

/** The whole value is a file that is only read. A bare name is one of QEMU's own files. */
const PLAIN_FILES = new Set(['kernel', 'initrd', 'dtb', 'bios', 'option-rom']);
/** The whole value is a disk image. */
const PLAIN_IMAGES = new Set(['', 'hda', 'hdb', 'hdc', 'hdd', 'fda', 'fdb', 'sd', 'mtdblock', 'pflash']);
/** Keys whose value is a file, by option. */
const KEYED_FILES: Readonly<Record<string, readonly string[]>> = {
  acpitable: ['file', 'data'],
  fw_cfg: ['file'],
  smbios: ['file'],
  device: ['romfile'],
  object: ['file', 'dir'],
  netdev: ['script', 'downscript'],
  fsdev: ['path'],
  virtfs: ['path'],
};
const PROTOCOL = /^[a-z][a-z0-9+.-]+:/i;

export function listFiles(args: readonly Argument[]): FileReference[] {
  const found: FileReference[] = [];
  mapFiles(args, (reference) => {
    found.push(reference);
    return reference.path;
  });
  return found;
}

/** The same command line with every path replaced by what `visit` returns for it. */
export function mapFiles(args: readonly Argument[], visit: Visit): Argument[] {
  return args.map((argument) => {
    const { option, value } = argument;
    if (value === undefined) return argument;
    const where = option === '' ? 'disk image' : `-${option}`;
    if (PLAIN_FILES.has(option)) {
      if (!value.includes('/')) return argument;
      return { option, value: visit({ path: value, where, writable: false }) };
    }
    if (option === 'cdrom') return { option, value: visitImage(value, where, false, visit) };
    if (PLAIN_IMAGES.has(option)) return { option, value: visitImage(value, where, true, visit) };
    if (option === 'drive' || option === 'blockdev') return mapDrive(argument, visit);
    return mapKeys(argument, KEYED_FILES[option] ?? [], visit);
  });
}

function mapKeys(argument: Argument, keys: readonly string[], visit: Visit): Argument {
  if (keys.length === 0) return argument;
  const options = readOptions(argument);
  for (const key of keys) {
    const path = options.get(key);
    if (path === undefined || path === 'no' || path === '' || !path.includes('/')) continue;
    options.set(key, visit({ path, where: `-${argument.option} ${key}`, writable: false }));
  }
  return { option: argument.option, value: options.toString() };
}

function mapDrive(argument: Argument, visit: Visit): Argument {
  const json = parseObject(argument.value ?? '');
  if (json !== undefined) {
    return { option: argument.option, value: JSON.stringify(mapNode(json, true, `-${argument.option}`, visit)) };
  }
  const options = readOptions(argument);
  const writable = !options.isOn('readonly') && !options.isOn('read-only') && options.get('media') !== 'cdrom';
  for (const key of options.keys()) {
    const last = key.split('.').at(-1);
    const path = options.get(key);
    if (path === undefined || path === '' || (last !== 'filename' && key !== 'file')) continue;
    // `file=NODE` of a -blockdev format layer names another node, not a file.
    if (key === 'file' && argument.option === 'blockdev') continue;
    const below = key.startsWith('backing.') || key.includes('.backing.');
    options.set(key, visitImage(path, `-${argument.option} ${key}`, writable && !below, visit));
  }
  return { option: argument.option, value: options.toString() };
}

/** A block node in JSON, with the nodes inside it. */
function mapNode(node: JsonValue, writable: boolean, where: string, visit: Visit): JsonValue {
  if (typeof node !== 'object' || node === null || Array.isArray(node)) return node;
  const entries = Object.entries(node as Record<string, JsonValue>);
  const writableHere = writable && !entries.some(([key, value]) => key === 'read-only' && value === true);
  const mapped = entries.map(([key, value]): [string, JsonValue] => {
    if (key === 'filename' && typeof value === 'string') {
      return [key, visitImage(value, `${where} filename`, writableHere, visit)];
    }
    return [key, mapNode(value, writableHere && key !== 'backing', where, visit)];
  });
  return Object.fromEntries(mapped);
}

function visitImage(path: string, where: string, writable: boolean, visit: Visit): string {
  if (path === 'none' || path === '') return path;
  const file = path.replace(/^file:(?!\/\/)/, '');
  if (PROTOCOL.test(file)) return path;
  return visit({ path: file, where, writable });
}
