/**
 * Which pages of another process are write-protected by a userfaultfd, read from its pagemap; any kernel that can
 * protect shared memory tells (5.19).
 *
 * Owns: the descriptor of /proc/PID/pagemap. Changes nothing.
 * https://docs.kernel.org/admin-guide/mm/pagemap.html
 */
import { closeSync, openSync, readSync } from 'node:fs';
import { GodwitError } from '../base/errors.ts';
import { PAGE_SIZE, type PageRun, RunBuilder } from '../base/page.ts';

const ENTRY_BYTES = 8;
/** Bit 57 of an entry, in its upper half. */
const PROTECTED = 1 << (57 - 32);
/** 512 KiB, 256 MiB of memory: a read that fits the cache. */
const ENTRIES_PER_READ = 65_536;

export class ProtectionMap implements Disposable {
  readonly #pid: number;
  readonly #fd: number;
  readonly #entries = new Uint32Array(ENTRIES_PER_READ * 2);

  /** @throws GW_SYS_PROCESS_GONE */
  constructor(pid: number) {
    this.#pid = pid;
    this.#fd = this.#ifAlive(() => openSync(`/proc/${pid}/pagemap`, 'r'));
  }

  /** The pages of the range that can be written without a fault; numbers count from its start. */
  unprotected(start: bigint, bytes: number): PageRun[] {
    const runs = new RunBuilder();
    const pageCount = bytes / PAGE_SIZE;
    const firstEntry = Number(start / BigInt(PAGE_SIZE));
    for (let from = 0; from < pageCount; from += ENTRIES_PER_READ) {
      const count = Math.min(ENTRIES_PER_READ, pageCount - from);
      this.#read(firstEntry + from, count);
      for (let i = 0; i < count; i++) {
        if ((this.#entries[i * 2 + 1]! & PROTECTED) === 0) runs.add(from + i, 1);
      }
    }
    return runs.finish();
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }

  #read(firstEntry: number, count: number): void {
    const into = new Uint8Array(this.#entries.buffer, 0, count * ENTRY_BYTES);
    for (let done = 0; done < into.length; ) {
      const bytes = this.#ifAlive(() =>
        readSync(this.#fd, into, done, into.length - done, firstEntry * ENTRY_BYTES + done),
      );
      // A process without memory any more has an empty map.
      if (bytes === 0) throw new GodwitError('GW_SYS_PROCESS_GONE', { pid: this.#pid });
      done += bytes;
    }
  }

  #ifAlive<T>(attempt: () => T): T {
    try {
      return attempt();
    } catch (error) {
      const { code = '' } = error as NodeJS.ErrnoException;
      if (!['ENOENT', 'ESRCH'].includes(code)) throw error;
      throw new GodwitError('GW_SYS_PROCESS_GONE', { pid: this.#pid });
    }
  }
}
