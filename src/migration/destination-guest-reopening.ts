/**
 * The VM's QEMU at the destination after a restart of this host's process: found again, or ended.
 *
 * Owns: the way back to a QEMU that goes on by itself. Must hold: pages that were missing are still missing, and who
 * waits for one goes on waiting; what cannot be talked to can still be ended.
 */
import { rmSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { GodwitError } from '../base/errors.ts';
import { isAlive } from '../linux/process.ts';
import { RamFile } from '../linux/ram-file.ts';
import { Userfaultfd } from '../linux/userfaultfd.ts';
import { GuestMemory } from '../memory/guest-memory.ts';
import { RamLayout } from '../memory/layout.ts';
import { killQemu } from '../qemu/process.ts';
import { QmpClient } from '../qemu/qmp.ts';
import { findGuestRam } from '../qemu/ram.ts';
import { DestinationGuest } from './destination-guest.ts';
import type { DestinationRecovery } from './journal-facts.ts';
import { type VmRecord, vmPaths } from './vm-record.ts';

const QMP_TIMEOUT_MS = 5000;

/** The QEMU that an earlier process of this host created. @throws GW_QMP_…, GW_SYS_… when it is gone */
export async function reopenDestinationGuest(
  record: VmRecord,
  stateDirectory: string,
  { insideFd, settings: borrowed }: Pick<DestinationRecovery, 'insideFd' | 'settings'>,
): Promise<DestinationGuest> {
  const identity = { pid: record.pid, startTicks: record.startTicks };
  if (!isAlive(identity)) throw new GodwitError('GW_QEMU_GONE', { vm: record.name, reason: 'its process has ended' });
  const qmp = await QmpClient.connect(record.qmpPath, { timeoutMs: QMP_TIMEOUT_MS });
  const regions = await findGuestRam(qmp, record.pid);
  const memory = new GuestMemory(
    new RamLayout(regions),
    regions.map((region) => RamFile.open(region.fdPath, region.bytes)),
  );
  const paths = vmPaths(stateDirectory, record.name, basename(dirname(record.qmpPath)));
  const starts = regions.map((region) => region.hostAddress);
  const uffd = insideFd === null ? undefined : Userfaultfd.fetch(record.pid, insideFd);
  // Faults that the dead process had read are delivered again.
  for (const region of memory.layout.regions) uffd?.wake(starts[region.index]!, region.bytes);
  return new DestinationGuest({ record, paths, identity, qmp, memory, starts, notes: [], borrowed, uffd });
}

/** Ends a QEMU that cannot be talked to, and removes what was made for it. */
export async function discardLeftBehind(record: VmRecord): Promise<void> {
  await killQemu({ pid: record.pid, startTicks: record.startTicks });
  rmSync(dirname(record.qmpPath), { recursive: true, force: true });
}
