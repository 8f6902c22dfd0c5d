/**
 * What a host knows of the block server of one VM: enough to find its process again after a restart, and to start another
 * one in its place.
 *
 * Owns: the file `disks.json` and the two sockets beside the VM's QMP socket. Must hold: what is read is checked; the file
 * is the old one or the new one, never half of one; the sockets' paths are no longer than that of the VM's console, whose
 * length was checked.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';

/** More than QEMU has slots for on its PCI bus. */
export const MAX_SERVED_DISKS = 64;
/** PATH_MAX of limits.h, without the closing zero byte. */
const MAX_PATH_BYTES = 4095;

const name = z.string().regex(/^[A-Za-z0-9._-]{1,63}$/, 'is no name of a block node');
const path = z
  .string()
  .regex(/^\/[^\0]*$/, 'is no absolute path')
  .refine((text) => Buffer.byteLength(text) <= MAX_PATH_BYTES, 'is longer than a path can be');

/** A disk that goes through the block server; it is raw. */
export const SERVED_DISK = z.strictObject({
  /** Of QEMU's block node, and of the export. */
  name,
  path,
  isReadOnly: z.boolean(),
});
export type ServedDiskFacts = z.output<typeof SERVED_DISK>;

export const SERVED_DISKS: z.ZodType<readonly ServedDiskFacts[]> = z
  .array(SERVED_DISK)
  .min(1)
  .max(MAX_SERVED_DISKS)
  .refine((disks) => new Set(disks.map((disk) => disk.name)).size === disks.length, 'repeats a name');

const RECORD = z.strictObject({
  disks: SERVED_DISKS,
  /** Of the process that serves them; null: it is being started. */
  server: z.strictObject({ pid: z.int().min(1), startTicks: z.int().min(0) }).nullable(),
});
export type DiskServerRecord = z.output<typeof RECORD>;

export interface DiskServerPaths {
  readonly record: string;
  /** QEMU is the client of this one. */
  readonly nbdSocket: string;
  readonly controlSocket: string;
  readonly log: string;
}

/** @param directory - that of the VM's QMP socket */
export function diskServerPaths(directory: string): DiskServerPaths {
  return {
    record: join(directory, 'disks.json'),
    nbdSocket: join(directory, 'nbd.sock'),
    controlSocket: join(directory, 'disks.sock'),
    log: join(directory, 'disks.log'),
  };
}

/** Undefined when the VM has no block server, or nobody can tell what it was. */
export function readDiskServerRecord(directory: string): DiskServerRecord | undefined {
  let contents: string;
  try {
    contents = readFileSync(diskServerPaths(directory).record, 'utf8');
  } catch {
    return undefined;
  }
  try {
    return RECORD.parse(JSON.parse(contents));
  } catch {
    return undefined;
  }
}

/** A machine that stops takes the VM along: nothing has to reach the storage. */
export function writeDiskServerRecord(directory: string, record: DiskServerRecord): void {
  const { record: path } = diskServerPaths(directory);
  writeFileSync(`${path}.new`, JSON.stringify(record), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}
