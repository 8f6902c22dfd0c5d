/**
 * The regions that are all here, also when their threads have ended long ago: `regions-arrived.json` below the state directory.
 *
 * Must hold: what is in it has arrived, because a source that is told so frees what it has. It is small and bounded: a source that
 * is away while so many others come is told that nobody knows its region, and keeps it.
 */
import { readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { explain } from '../base/errors.ts';
import { removeHalfWritten, writeFileAtomically } from './atomic-file.ts';
import { idOfKey } from './group-records.ts';
import type { Logger } from './logger.ts';

/** 10 KiB of file; a host takes 16 regions at a time. */
const MAX_KNOWN = 256;

/** Hashes of session keys, oldest first. */
const ArrivedSchema = z.object({ arrived: z.array(z.string().regex(/^[0-9a-f]{32}$/)) });

export class ArrivedRegions {
  readonly #path: string;
  readonly #log: Pick<Logger, 'error'>;
  #arrived: readonly string[];

  constructor(stateDirectory: string, log: Pick<Logger, 'error'>) {
    this.#path = join(stateDirectory, 'regions-arrived.json');
    this.#log = log;
    this.#arrived = this.#load();
  }

  has(sessionKey: string): boolean {
    return this.#arrived.includes(idOfKey(sessionKey));
  }

  note(sessionKey: string): void {
    if (this.has(sessionKey)) return;
    this.#arrived = [...this.#arrived, idOfKey(sessionKey)].slice(-MAX_KNOWN);
    try {
      writeFileAtomically(this.#path, `${JSON.stringify({ arrived: this.#arrived }, null, 2)}\n`);
    } catch (error) {
      // This daemon knows it all the same, and the source is told by the region's thread first.
      this.#log.error({ path: this.#path, reason: explain(error) }, 'cannot note that shared memory is all here');
    }
  }

  #load(): readonly string[] {
    removeHalfWritten(this.#path);
    try {
      return ArrivedSchema.parse(JSON.parse(readFileSync(this.#path, 'utf8'))).arrived;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      const path = `${this.#path}.damaged`;
      renameSync(this.#path, path);
      this.#log.error({ path, reason: explain(error) }, 'cannot read which shared memory is all here');
      return [];
    }
  }
}
