/**
 * The table of regions on disk: `regions.json` below the state directory.
 *
 * Must hold: it is whole or absent. It is what this host knew when it was written: who of the VMs lives and what they
 * map is looked up anew when a daemon starts.
 */
import { readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { explain } from '../base/errors.ts';
import { removeHalfWritten, writeFileAtomically } from './atomic-file.ts';

const RegionSchema = z.object({
  name: z.string().min(1),
  bytes: z.number().int().positive(),
  path: z.string(),
  device: z.string().regex(/^[0-9a-f]+:[0-9a-f]+$/),
  inode: z.number().int().nonnegative(),
  /** This daemon made the file, and removes it. */
  isOurs: z.boolean(),
  /** For people who read it. */
  vms: z.array(z.string()),
});
const TableSchema = z.object({ regions: z.array(RegionSchema) });

export type StoredRegion = z.output<typeof RegionSchema>;

export class RegionStore {
  readonly #path: string;

  constructor(stateDirectory: string) {
    this.#path = join(stateDirectory, 'regions.json');
  }

  save(regions: readonly StoredRegion[]): void {
    writeFileAtomically(this.#path, `${JSON.stringify({ regions }, null, 2)}\n`);
  }

  /** One that cannot be read is put aside, and why is told. */
  load(): { readonly regions: readonly StoredRegion[]; readonly damage?: { path: string; reason: string } } {
    removeHalfWritten(this.#path);
    let contents: string | undefined;
    try {
      contents = readFileSync(this.#path, 'utf8');
      return TableSchema.parse(JSON.parse(contents));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { regions: [] };
      const path = contents === undefined ? this.#path : `${this.#path}.damaged`;
      if (contents !== undefined) renameSync(this.#path, path);
      return { regions: [], damage: { path, reason: explain(error) } };
    }
  }
}
