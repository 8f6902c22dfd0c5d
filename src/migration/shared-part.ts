/**
 * What a VM's own migration has to do with memory that the VM shares with others (R1): that memory is the group's, and is
 * moved by src/sharing/ while each of its VMs is moved as any other.
 *
 * Owns: how the offer names the regions, and watching them in the VM's QEMU at the destination. Must hold: they are watched
 * from before QEMU loads the VM, and as long as that QEMU lives: whoever touches a page that has not come waits for it,
 * also while nobody reads the faults.
 */
import { z } from 'zod';
import { GodwitError } from '../base/errors.ts';
import {
  UFFD_FEATURE_MISSING_SHMEM,
  UFFD_FEATURE_PAGEFAULT_FLAG_WP,
  UFFD_FEATURE_WP_HUGETLBFS_SHMEM,
} from '../linux/abi/userfaultfd.ts';
import { isSameFile } from '../linux/file-users.ts';
import type { ProcessIdentity } from '../linux/process.ts';
import { Userfaultfd } from '../linux/userfaultfd.ts';
import type { QmpClient } from '../qemu/qmp.ts';
import { inspectRam } from '../qemu/ram.ts';
import { distinctRegions, type SharedRegion, sharedRegions } from '../qemu/shared-memory.ts';
import type { OfferedVm } from '../wire/messages.ts';
import type { MigrationEvent } from './progress.ts';

/** A VM that is moved with its group. */
export interface GroupPart {
  /** Id of the group's migration. */
  readonly id: string;
  /** The regions as their host knows them. */
  readonly regions: readonly { readonly name: string; readonly device: string; readonly inode: number }[];
  /** With a destination that is ready the VM stays until it is called (command `hurry`). */
  readonly waits: boolean;
}

/** As the offer says it. */
export type OfferedSharing = {
  readonly group: string;
  /** Ids of QEMU's memory backends, with the names of the regions behind them. */
  readonly regions: readonly { readonly id: string; readonly name: string }[];
};

/** Files of this host, by the ids of QEMU's memory backends. */
export type SharedPaths = Readonly<Record<string, string>>;

/** A region in a QEMU at the destination; a userfaultfd that QEMU holds has it for missing pages and written ones. */
export interface WatchedRegion {
  readonly path: string;
  readonly bytes: number;
  /** Address of its first byte in QEMU. */
  readonly hostAddress: bigint;
  /** Number of the userfaultfd in QEMU. */
  readonly insideFd: number;
}

/** What the daemon answers. */
export const RegionsTaken = { unanswered: 0, yes: 1, no: 2 } as const;

const MAX_REGIONS = 16;
/** Long for the daemon; the VM runs at the source meanwhile. */
const TAKEN_TIMEOUT_MS = 10_000;
/** What watching a region needs, at both hosts. */
export const REGION_FEATURES: bigint =
  UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_PAGEFAULT_FLAG_WP;

const SharingSchema = z.object({
  group: z.uuid(),
  regions: z
    .array(z.object({ id: z.string().min(1).max(128), name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/) }))
    .min(1)
    .max(MAX_REGIONS),
});

/** @throws GW_MIGRATION_BLOCKED when the VM has memory that is none of the group's */
export function offerSharing(vm: string, group: GroupPart, found: readonly SharedRegion[]): OfferedSharing {
  const regions = found.map((region) => {
    const known = group.regions.find((other) => isSameFile(other, region));
    if (known) return { id: region.id, name: known.name };
    const reason = `it has the shared memory ${region.path}, which is not of the group that moves; try again`;
    throw new GodwitError('GW_MIGRATION_BLOCKED', { vm, reason });
  });
  return { group: group.id, regions };
}

/** What the offer says of shared memory; null: nothing. @throws GW_WIRE_FRAME_INVALID */
export function readSharing({ facts }: Pick<OfferedVm, 'facts'>): OfferedSharing | null {
  const { sharedMemory } = facts;
  if (sharedMemory === undefined) return null;
  const parsed = SharingSchema.safeParse(sharedMemory);
  if (parsed.success) return parsed.data;
  throw new GodwitError('GW_WIRE_FRAME_INVALID', { frame: 'offer', reason: 'its shared memory cannot be read' });
}

/** Of a QEMU that has not loaded its VM yet. @throws GW_SYS_… */
export async function watchRegions(qmp: QmpClient, pid: number): Promise<WatchedRegion[]> {
  const { shared } = await inspectRam(qmp, pid);
  return distinctRegions(sharedRegions(shared)).map(({ path, bytes, hostAddress }) => {
    using uffd = Userfaultfd.openInside(pid, { features: REGION_FEATURES, keepInside: true });
    uffd.register(hostAddress, bytes, { missing: true, writeProtect: true });
    return { path, bytes, hostAddress, insideFd: uffd.insideFd! };
  });
}

/** Resolves when the daemon answers for the faults of these regions. @throws GW_INTERNAL when it does not */
export async function entrustRegions(
  port: { emit(event: MigrationEvent): void },
  qemu: ProcessIdentity,
  regions: readonly WatchedRegion[],
  signal: AbortSignal,
): Promise<void> {
  const taken = new Int32Array(new SharedArrayBuffer(4));
  port.emit({ kind: 'regionsWatched', qemu, regions, taken });
  const waiting = Atomics.waitAsync(taken, 0, 0, TAKEN_TIMEOUT_MS);
  const { promise: aborted, resolve } = Promise.withResolvers<void>();
  signal.addEventListener('abort', () => resolve(), { once: true });
  await Promise.race([waiting.value, aborted]);
  signal.throwIfAborted();
  if (Atomics.load(taken, 0) === RegionsTaken.yes) return;
  throw new GodwitError('GW_INTERNAL', { reason: 'nobody looks after the memory that the VM shares with others' });
}
