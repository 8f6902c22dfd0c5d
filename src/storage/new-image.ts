/**
 * An empty image of a disk: raw, or qcow2.
 *
 * Must hold: what is there already is never written over; an image takes no room before somebody writes to it.
 * qcow2, version 3: https://www.qemu.org/docs/master/interop/qcow2.html
 */
import { closeSync, ftruncateSync, openSync, rmSync, writeSync } from 'node:fs';
import { GodwitError } from '../base/errors.ts';

export const NEW_IMAGE_FORMATS: readonly string[] = ['raw', 'qcow2'];

const CLUSTER_BITS = 16;
const CLUSTER_BYTES = 2 ** CLUSTER_BITS;
/** An entry of the first level stands for a cluster of entries of the second. */
const L1_ENTRY_COVERS_BYTES = (CLUSTER_BYTES / 8) * CLUSTER_BYTES;
const HEADER_BYTES = 104;

/** Cluster by cluster: header, refcount table, refcount block, first level table. */
const Cluster = { refcountTable: 1, refcountBlock: 2, l1Table: 3 } as const;

/**
 * @param virtualBytes - what the guest sees
 * @throws GW_DISK_COPY when there is a file of that name, or the directory takes none
 */
export function createImage(disk: string, path: string, format: string, virtualBytes: number): void {
  let fd: number;
  try {
    fd = openSync(path, 'wx', 0o600);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'unknown';
    throw new GodwitError('GW_DISK_COPY', { disk, reason: `${path} cannot be created (${code})` }, { cause });
  }
  try {
    if (format === 'raw') ftruncateSync(fd, virtualBytes);
    else writeQcow2(fd, virtualBytes);
  } catch (cause) {
    rmSync(path, { force: true });
    throw cause;
  } finally {
    closeSync(fd);
  }
}

function writeQcow2(fd: number, virtualBytes: number): void {
  const l1Entries = Math.ceil(virtualBytes / L1_ENTRY_COVERS_BYTES);
  const clusters = Cluster.l1Table + Math.max(1, Math.ceil((l1Entries * 8) / CLUSTER_BYTES));
  const header = new DataView(new ArrayBuffer(HEADER_BYTES));
  header.setUint32(0, 0x514649fb); // "QFI\xfb"
  header.setUint32(4, 3);
  header.setUint32(20, CLUSTER_BITS);
  header.setBigUint64(24, BigInt(virtualBytes));
  header.setUint32(36, l1Entries);
  header.setBigUint64(40, BigInt(Cluster.l1Table * CLUSTER_BYTES));
  header.setBigUint64(48, BigInt(Cluster.refcountTable * CLUSTER_BYTES));
  header.setUint32(56, 1);
  header.setUint32(96, 4); // refcounts of 16 bits
  header.setUint32(100, HEADER_BYTES);
  const refcountTable = new DataView(new ArrayBuffer(8));
  refcountTable.setBigUint64(0, BigInt(Cluster.refcountBlock * CLUSTER_BYTES));
  const refcounts = new DataView(new ArrayBuffer(clusters * 2));
  for (let cluster = 0; cluster < clusters; cluster++) refcounts.setUint16(cluster * 2, 1);
  // What is not written reads as zero: no header extension, no second level, no refcount above 0.
  ftruncateSync(fd, clusters * CLUSTER_BYTES);
  writeSync(fd, header, 0, HEADER_BYTES, 0);
  writeSync(fd, refcountTable, 0, 8, Cluster.refcountTable * CLUSTER_BYTES);
  writeSync(fd, refcounts, 0, refcounts.byteLength, Cluster.refcountBlock * CLUSTER_BYTES);
}
