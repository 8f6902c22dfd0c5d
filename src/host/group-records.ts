/**
 * What a daemon must know of the regions that change hosts, should it be killed: a file for each group that leaves and for each
 * region that comes, below the state directory.
 *
 * Owns: these files. Must hold: one is written before the first QEMU is watched for it, and goes only when nothing is watched
 * any more; with what the region's thread keeps (sharing/region-journal.ts) the next daemon goes on by it.
 */
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { GroupMemberSchema, type GroupMigrateBody, GroupMigrateSchema } from '../api/group-migration-schema.ts';
import { explain } from '../base/errors.ts';
import { RAM_DIRECTORY } from '../migration/vm-record.ts';
import type { LeftVm } from '../sharing/region-threads.ts';
import { removeHalfWritten, writeFileAtomically } from './atomic-file.ts';

const LeftVmSchema = z.object({
  vm: z.string(),
  pid: z.int().positive(),
  startTicks: z.number(),
  /** In hexadecimal. */
  hostAddress: z.string().regex(/^[0-9a-f]+$/),
  insideFd: z.int().nonnegative(),
});
export type StoredLeftVm = z.output<typeof LeftVmSchema>;

interface RegionToLeave {
  readonly name: string;
  readonly bytes: number;
}

/** A group that leaves this host. */
export const LeavingGroupSchema = z.object({
  id: z.uuid(),
  name: z.string(),
  body: GroupMigrateSchema,
  /** As the user named the other host; `body.to` is its address. */
  peer: z.string().optional(),
  vms: z.array(z.string()).min(1),
  /** Those of which a migration was begun: nothing else knows it when the daemon is killed. */
  members: z.array(GroupMemberSchema).default([]),
  startedAtMs: z.number(),
  regions: z.array(
    z.object({
      name: z.string(),
      bytes: z.int().positive(),
      sessionKey: z.string().regex(/^[0-9a-f]{64}$/),
      /** null: not watched yet, or nobody knows by what. */
      watched: z.array(LeftVmSchema).nullable(),
    }),
  ),
});
export type LeavingGroup = z.output<typeof LeavingGroupSchema>;

/** Of a group that begins to leave for the host at `to`, which is what the user's words mean. */
export function newRecord(
  id: string,
  group: { readonly name: string; readonly vms: readonly string[]; readonly regions: readonly RegionToLeave[] },
  body: GroupMigrateBody,
  to: string,
): LeavingGroup {
  const regions = group.regions.map(({ name, bytes }) => {
    return { name, bytes, sessionKey: randomBytes(32).toString('hex'), watched: null };
  });
  const { name, vms } = group;
  return {
    id,
    name,
    body: { ...body, to },
    peer: body.to,
    vms: [...vms],
    members: [],
    startedAtMs: Date.now(),
    regions,
  };
}

/** A region that comes to this host. */
export const ComingRegionSchema = z.object({
  group: z.uuid(),
  sessionKey: z.string().regex(/^[0-9a-f]{64}$/),
  sourceHost: z.string(),
  region: z.object({ name: z.string(), bytes: z.int().positive() }),
  vms: z.array(z.string()).min(1),
  attached: z.array(LeftVmSchema),
});
export type ComingRegionRecord = z.output<typeof ComingRegionSchema>;

export class GroupRecords<Stored> {
  readonly #directory: string;
  readonly #schema: z.ZodType<Stored>;

  /** @param kind - the directory's name */
  constructor(stateDirectory: string, kind: 'groups-leaving' | 'regions-coming', schema: z.ZodType<Stored>) {
    this.#directory = join(stateDirectory, kind);
    this.#schema = schema;
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
  }

  /** @throws when it cannot be written: then nothing may be begun */
  save(id: string, record: Stored): void {
    writeFileAtomically(this.#pathOf(id), `${JSON.stringify(record, null, 2)}\n`);
  }

  remove(id: string): void {
    rmSync(this.#pathOf(id), { force: true });
  }

  /** One that cannot be read is put aside: what it watched waits for a person. */
  load(onDamaged: (path: string, reason: string) => void): Stored[] {
    const files = readdirSync(this.#directory);
    for (const file of files.filter((name) => name.endsWith('.json.new'))) {
      removeHalfWritten(join(this.#directory, file.slice(0, -'.new'.length)));
    }
    return files
      .filter((name) => name.endsWith('.json'))
      .flatMap((file) => {
        const path = join(this.#directory, file);
        try {
          return [this.#schema.parse(JSON.parse(readFileSync(path, 'utf8')))];
        } catch (error) {
          renameSync(path, `${path}.damaged`);
          onDamaged(`${path}.damaged`, explain(error));
          return [];
        }
      });
  }

  #pathOf(id: string): string {
    return join(this.#directory, `${id}.json`);
  }
}

/** Where the thread of a region keeps what must outlive it. @param key - the region's session key, which no path may show */
export function journalPath(side: 'source' | 'destination', key: string): string {
  return join(RAM_DIRECTORY, `godwit-journal-${side}-${idOfKey(key)}`);
}

/** What a region on its way is called in file names. */
export function idOfKey(sessionKey: string): string {
  return createHash('sha256').update(sessionKey).digest('hex').slice(0, 32);
}

export function toStored({ vm, pid, startTicks, hostAddress, insideFd }: LeftVm): StoredLeftVm {
  return { vm, pid, startTicks, hostAddress: hostAddress.toString(16), insideFd };
}

export function fromStored({ hostAddress, ...stored }: StoredLeftVm): LeftVm {
  return { ...stored, hostAddress: BigInt(`0x${hostAddress}`) };
}
