/**
 * The VM's QEMU at the destination after this host's process or its thread has died: found again, or ended.
 *
 * Owns: the way back to a QEMU that goes on by itself. Must hold: pages that were missing are still missing, and who
 * waits for one goes on waiting; what cannot be talked to can still be ended.
 */
import { rmSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { GodwitError } from '../base/errors.ts';
import { isAlive, listOpenFiles } from '../linux/process.ts';
import { Userfaultfd } from '../linux/userfaultfd.ts';
import { GuestMemory } from '../memory/guest-memory.ts';
import { RamLayout } from '../memory/layout.ts';
import { isEnding, killQemu } from '../qemu/process.ts';
import { QmpClient } from '../qemu/qmp.ts';
import { findGuestRam } from '../qemu/ram.ts';
import { DestinationDiskServer } from './destination-disk-server.ts';
import type { DestinationFacts } from './destination-facts.ts';
import { DestinationGuest } from './destination-guest.ts';
import { placeOf } from './fit.ts';
import { insist } from './insist.ts';
import type { DestinationRecovery } from './journal-facts.ts';
import { type FoundRegion, readKnownRam } from './known-ram.ts';
import { removeLeftInstance } from './left-instance.ts';
import { type VmRecord, vmPaths } from './vm-record.ts';

type Known = Pick<DestinationRecovery, 'insideFd' | 'settings' | 'ram'>;

/**
 * The memory of the QEMU that an earlier process or thread of this host created; QMP is connected later (`connectAgain`). While it
 * lives it is tried again.
 * @throws GW_QEMU_GONE when it has ended
 */
export function reopenDestinationGuest(
  record: VmRecord,
  stateDirectory: string,
  known: Known,
  note: (text: string) => void,
): Promise<DestinationGuest> {
  const what = `Finding the memory of ${record.name} again`;
  return insist(() => reopen(record, stateDirectory, known), { what, note, isHopeless: () => !isAlive(record) });
}

/**
 * When missing pages can be asked for again: QEMU's main loop, which answers, may be waiting for one.
 * @throws GW_QMP_… when QEMU has ended
 */
export function connectAgain(guest: DestinationGuest, note: (text: string) => void): Promise<void> {
  const what = `Connecting to the QEMU of ${guest.record.name} again`;
  return insist(() => guest.connect(), { what, note, isHopeless: () => !isAlive(guest.identity) });
}

async function reopen(record: VmRecord, stateDirectory: string, known: Known): Promise<DestinationGuest> {
  const { insideFd, settings: borrowed, ram } = known;
  const identity = { pid: record.pid, startTicks: record.startTicks };
  if (!isAlive(identity)) throw new GodwitError('GW_QEMU_GONE', { vm: record.name, reason: 'its process has ended' });
  // What a failed try has opened the next one opens, too.
  using opened = new DisposableStack();
  const regions = ram.length > 0 ? readKnownRam(ram) : await askForRam(record);
  const files = regions.map(({ fdPath }) => fdPath);
  const memory = opened.use(GuestMemory.open(new RamLayout(regions), files));
  const paths = vmPaths(stateDirectory, record.name, basename(dirname(record.qmpPath)));
  const uffd = isWatched(record.pid, insideFd) ? opened.use(Userfaultfd.fetch(record.pid, insideFd!)) : undefined;
  // Faults that the dead process had read are delivered again.
  for (const region of memory.layout.regions) uffd?.wake(regions[region.index]!.hostAddress, region.bytes);
  opened.move();
  return new DestinationGuest({
    record,
    paths,
    identity,
    qmp: null,
    memory,
    regions,
    notes: [],
    disks: [],
    diskServer: DestinationDiskServer.reopen(paths.directory),
    borrowed,
    uffd,
  });
}

/**
 * That QEMU has ended, if that is why it cannot be reached.
 * @throws the cause while it lives: it has the VM, and a thread that begins anew may reach it
 */
export async function unreachable({ name, pid, startTicks }: VmRecord, cause: unknown): Promise<GodwitError> {
  if (!(await isEnding({ pid, startTicks }))) throw cause;
  return new GodwitError('GW_QEMU_GONE', { vm: name, reason: 'it cannot be reached any more' }, { cause });
}

/** The journal is older than that fact. */
async function askForRam({ pid, qmpPath }: VmRecord): Promise<FoundRegion[]> {
  using qmp = await QmpClient.connect(qmpPath);
  return await findGuestRam(qmp, pid);
}

/** The userfaultfd is still there. It is closed inside QEMU when every page has come, before that is written down. */
function isWatched(pid: number, insideFd: number | null): boolean {
  return listOpenFiles(pid).some(({ fd, path }) => fd === insideFd && path.includes('userfaultfd'));
}

/**
 * Ends a QEMU that cannot be talked to, and removes what was made for it.
 * @param record - null when none was written: there may be a QEMU all the same
 */
export async function discardLeftBehind(
  record: VmRecord | null,
  facts: Pick<DestinationFacts, 'offer' | 'stateDirectory' | 'allowedNetworkScripts' | 'images'>,
): Promise<void> {
  if (record === null) {
    await removeLeftInstance(facts.stateDirectory, facts.offer.vm.name, placeOf(facts.offer, facts).instance);
    return;
  }
  await killQemu({ pid: record.pid, startTicks: record.startTicks });
  rmSync(dirname(record.qmpPath), { recursive: true, force: true });
}
