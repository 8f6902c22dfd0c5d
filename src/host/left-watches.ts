/**
 * Which regions of which QEMUs are watched for a group that has not begun to move, on disk: `watches.json` below the state
 * directory.
 *
 * Owns: ending the watch that a daemon which died has left. Must hold: a userfaultfd that nobody reads stops every VM that
 * touches a page for the first time, so that no VM is left with one as long as nothing of the region is at another host;
 * once the first VM has gone the watch is all that keeps a missing page from reading as zeros, and is left alone.
 */
import { readFileSync, rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { explain } from '../base/errors.ts';
import { isAlive } from '../linux/process.ts';
import { endLeftWatch } from '../sharing/region-memory.ts';
import { removeHalfWritten, writeFileAtomically } from './atomic-file.ts';
import type { Logger } from './logger.ts';

const WatchSchema = z.object({
  vm: z.string(),
  pid: z.int().positive(),
  startTicks: z.number(),
  /** In hexadecimal. */
  hostAddress: z.string().regex(/^[0-9a-f]+$/),
  bytes: z.int().positive(),
  insideFd: z.int().nonnegative(),
});
const FileSchema = z.object({ groups: z.record(z.string(), z.array(WatchSchema)) });

export type LeftWatch = z.output<typeof WatchSchema>;

export class LeftWatches {
  readonly #path: string;
  readonly #log: Pick<Logger, 'info' | 'warn'>;
  #groups: Record<string, LeftWatch[]> = {};

  constructor(stateDirectory: string, log: Pick<Logger, 'info' | 'warn'>) {
    this.#path = join(stateDirectory, 'watches.json');
    this.#log = log;
  }

  /** Before anything else is done with these VMs. */
  endLeft(): void {
    removeHalfWritten(this.#path);
    for (const watch of this.#read()) {
      const { vm, pid, startTicks, bytes, insideFd } = watch;
      if (!isAlive({ pid, startTicks })) continue;
      try {
        endLeftWatch({ vm, pid, startTicks, hostAddress: BigInt(`0x${watch.hostAddress}`) }, insideFd, bytes);
        this.#log.info({ vm }, 'ended the watch on shared memory that a dead daemon had left');
      } catch (error) {
        this.#log.warn({ vm, reason: explain(error) }, 'cannot end the watch on shared memory that a dead daemon left');
      }
    }
    this.#save();
  }

  /** @throws when it cannot be written: then nothing may be begun */
  add(group: string, watches: readonly LeftWatch[]): void {
    this.#groups = { ...this.#groups, [group]: [...(this.#groups[group] ?? []), ...watches] };
    this.#save();
  }

  /** The group begins to move, or is watched no more. Never throws: the first VM runs at the other host by now. */
  remove(group: string): void {
    const { [group]: _gone, ...others } = this.#groups;
    this.#groups = others;
    try {
      this.#save();
    } catch (error) {
      this.#log.warn({ path: this.#path, reason: explain(error) }, 'cannot write which memory is watched');
      this.#empty();
    }
  }

  /** A full disk allows that. To end a watch by an old file would give zeros to VMs. */
  #empty(): void {
    try {
      truncateSync(this.#path);
    } catch (error) {
      this.#log.warn({ path: this.#path, reason: explain(error) }, 'remove it before this daemon is started again');
    }
  }

  #read(): readonly LeftWatch[] {
    try {
      return Object.values(FileSchema.parse(JSON.parse(readFileSync(this.#path, 'utf8'))).groups).flat();
    } catch (error) {
      const isAbsent = (error as NodeJS.ErrnoException).code === 'ENOENT';
      if (!isAbsent)
        this.#log.warn({ path: this.#path, reason: explain(error) }, 'cannot read which memory was watched');
      return [];
    }
  }

  #save(): void {
    if (Object.keys(this.#groups).length === 0) rmSync(this.#path, { force: true });
    else writeFileAtomically(this.#path, `${JSON.stringify({ groups: this.#groups }, null, 2)}\n`);
  }
}
