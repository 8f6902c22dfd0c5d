/**
 * Which pages were missing at the switchover, in a file of the migration.
 *
 * Owns: the file. What is missing after a crash is what the file lists less what the RAM file holds: a page is there
 * exactly when the kernel has it, so nothing needs to be written while pages arrive. Lists are appended as they come, in
 * any order.
 * Layout: 12 bytes a run, little-endian: u64 first page, u32 number of pages.
 */
import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { GodwitError } from '../base/errors.ts';
import { type PageRun, subtractRuns } from '../base/page.ts';
import { PageBitmap } from '../base/page-bitmap.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';

const RUN_BYTES = 12;

export function appendMissingFile(path: string, runs: readonly PageRun[]): void {
  const bytes = Buffer.alloc(runs.length * RUN_BYTES);
  runs.forEach((run, index) => {
    bytes.writeBigUInt64LE(BigInt(run.first), index * RUN_BYTES);
    bytes.writeUInt32LE(run.count, index * RUN_BYTES + 8);
  });
  appendFileSync(path, bytes, { mode: 0o600 });
}

/** @throws GW_JOURNAL_CORRUPT when it is not a list of pages of this VM */
export function readMissingFile(path: string, pageCount: number): PageRun[] {
  // No list was ever complete: nothing was missing.
  if (!existsSync(path)) return [];
  const bytes = readFileSync(path);
  const pages = new PageBitmap(pageCount);
  // A torn end is of a list that was not written whole: the state was not loaded then, which who recovers finds out.
  for (let offset = 0; offset + RUN_BYTES <= bytes.length; offset += RUN_BYTES) {
    const first = Number(bytes.readBigUInt64LE(offset));
    const count = bytes.readUInt32LE(offset + 8);
    if (first + count > pageCount) {
      throw new GodwitError('GW_JOURNAL_CORRUPT', { path, offset, reason: "it is not a list of this VM's pages" });
    }
    pages.addRun(first, count);
  }
  return pages.runs();
}

/** What was missing at the switchover and is not in the RAM file. @throws GW_JOURNAL_CORRUPT */
export function findStillMissing(path: string, memory: Pick<GuestMemory, 'layout' | 'dataRuns'>): PageRun[] {
  return subtractRuns(readMissingFile(path, memory.layout.pageCount), memory.dataRuns());
}
