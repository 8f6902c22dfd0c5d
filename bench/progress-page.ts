/** Finds and reads the guest's own count of its work in its RAM, from outside (guest/linux/workload/memory.h). */
import { readSync } from 'node:fs';

/** COUNTERS_MAGIC, with the zero byte that ends it. */
const MAGIC = Buffer.from('GODWIT PROGRESS\0', 'latin1');
/** Pages written, then pages verified: two 64-bit numbers. */
const COUNTERS_OFFSET = 16;
const COUNTERS_BYTES = 16;
const PAGE_BYTES = 4096;
const CHUNK_BYTES = 2 ** 20;

/** Where the counters of pages written and verified lie in the RAM file. Throws when there is not exactly one. */
export function findProgressCounters(ramFd: number, ramBytes: number): number {
  const found: number[] = [];
  const chunk = Buffer.alloc(CHUNK_BYTES);
  for (let at = 0; at < ramBytes; at += CHUNK_BYTES) {
    const bytes = readSync(ramFd, chunk, 0, CHUNK_BYTES, at);
    for (let page = 0; page < bytes; page += PAGE_BYTES) {
      if (chunk.compare(MAGIC, 0, MAGIC.length, page, page + MAGIC.length) === 0) found.push(at + page);
    }
  }
  if (found.length !== 1) throw new Error(`The guest's progress was found ${found.length} times in its memory`);
  return found[0]! + COUNTERS_OFFSET;
}

/**
 * Pages written and verified so far.
 *
 * @param scratch - of at least 16 bytes; the caller's, because this is called a thousand times a second
 */
export function readProgress(ramFd: number, offset: number, scratch: Buffer): number {
  readSync(ramFd, scratch, 0, COUNTERS_BYTES, offset);
  return Number(scratch.readBigUInt64LE(0) + scratch.readBigUInt64LE(8));
}
