/**
 * Creating the VM's QEMU at the destination from what the source offers (V2).
 *
 * Owns: everything until QEMU waits for its state: command line, process, memory, and whether the guest would see the
 * same machine. Must hold: a VM that does not fit is refused with the reason, and then nothing of it stays here.
 */
import { randomUUID } from 'node:crypto';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { GodwitError, hasCode } from '../base/errors.ts';
import type { ProcessIdentity } from '../linux/process.ts';
import { GuestMemory } from '../memory/guest-memory.ts';
import { RamLayout } from '../memory/layout.ts';
import { attach, readNics } from '../network/nic.ts';
import { plugInTaps } from '../network/taps.ts';
import { inspectVm } from '../qemu/facts.ts';
import { killQemu, startQemu } from '../qemu/process.ts';
import { findGuestRam } from '../qemu/ram.ts';
import { createImage } from '../storage/new-image.ts';
import type { OfferedDisk } from '../wire/disk-messages.ts';
import type { OfferedVm } from '../wire/messages.ts';
import { explainBlockers } from './blocked.ts';
import { DestinationDiskServer } from './destination-disk-server.ts';
import type { DestinationFacts } from './destination-facts.ts';
import { DestinationGuest } from './destination-guest.ts';
import type { DestinationParts } from './destination-parts.ts';
import { fitDisks, type PlannedDisk } from './disk-fit.ts';
import { newVmKey, parseKey } from './fingerprint-keys.ts';
import {
  chooseBinary,
  type DestinationPlace,
  deriveOffered,
  explainDifferences,
  findBinaryFit,
  noteVersions,
  placeOf,
} from './fit.ts';
import { readOfferedDisks } from './served-disks.ts';
import { entrustRegions, type WatchedRegion, watchRegions } from './shared-part.ts';
import { type VmRecord, vmPaths } from './vm-record.ts';

export interface DestinationGuestOptions extends DestinationPlace {
  readonly vm: OfferedVm;
  readonly disks?: readonly OfferedDisk[] | undefined;
  /** Makes the images that are to be filled; absent: they are only tried, in the directory of this QEMU. */
  createImages?(planned: readonly PlannedDisk[]): void;
  readonly uuid: string;
  readonly epoch: number;
  readonly hostName: string;
  readonly from: string;
  /** Told what is watched of the memory that the VM shares with others; resolves when somebody answers for it. */
  onWatched?(qemu: ProcessIdentity, regions: readonly WatchedRegion[]): Promise<void>;
  /** Once aborted, nothing of the VM stays here, and the signal's reason is thrown. */
  readonly signal: AbortSignal;
}

/** The VM of an offer that was accepted. @param signal - aborted when it is not wanted any more */
export async function createOfferedGuest(
  facts: DestinationFacts,
  port: Pick<DestinationParts['port'], 'emit'>,
  createImages: (planned: readonly PlannedDisk[]) => void,
  signal: AbortSignal,
): Promise<DestinationGuest> {
  const { offer, hostName, peer } = facts;
  const guest = await createDestinationGuest({
    vm: offer.vm,
    disks: offer.disks,
    createImages,
    uuid: offer.vm.uuid ?? randomUUID(),
    epoch: offer.epoch,
    ...placeOf(offer, facts),
    hostName,
    from: offer.sourceHost || peer,
    onWatched: (qemu, regions) => entrustRegions(port, qemu, regions, signal),
    signal,
  });
  port.emit({ kind: 'qemuStarted', qemu: guest.identity });
  return guest;
}

/** Creates QEMU and checks that the VM fits. @throws GW_MIGRATION_REFUSED, GW_QEMU_START, GW_SYS_NO_ROOM, GW_DISK_COPY … */
export async function createDestinationGuest(options: DestinationGuestOptions): Promise<DestinationGuest> {
  const { vm, hostName, signal: abandoned } = options;
  const refuse = (reason: string) => new GodwitError('GW_MIGRATION_REFUSED', { host: hostName, vm: vm.name, reason });
  const paths = vmPaths(options.stateDirectory, vm.name, options.instance);
  const fit = fitDisks(options.disks, options.images);
  if (fit.blockers.length > 0) throw refuse(explainBlockers(fit.blockers));
  const disks = options.createImages ? fit.disks : tried(fit.disks, paths.directory);
  const derived = deriveOffered(vm, options, disks);
  if (derived.kind === 'blocked') throw refuse(explainBlockers(derived.blockers));
  abandoned.throwIfAborted();
  const binary = chooseBinary(vm);
  mkdirSync(paths.directory, { recursive: true, mode: 0o700 });
  const over = new AbortController();
  let qemu: Awaited<ReturnType<typeof startQemu>> | undefined;
  let diskServer: DestinationDiskServer | undefined;
  try {
    (options.createImages ?? createTried)(disks);
    const served = readOfferedDisks(vm);
    diskServer = served && (await DestinationDiskServer.start(paths.directory, served));
    qemu = await startQemu({
      binary,
      args: derived.args,
      logPath: paths.qemuLog,
      qmpPath: paths.qmp,
      ramPaths: derived.ramFiles.map((file) => file.path),
      signal: abandoned,
    }).catch(async (error: unknown) => {
      throw abandoned.aborted ? error : await whyNotStarted(error, vm, refuse);
    });
    const { identity, qmp } = qemu;
    await diskServer?.guard(identity);
    // Nobody waits for QEMU's answers any more.
    abandoned.addEventListener('abort', () => qmp.close(), { once: true, signal: over.signal });
    const nics = attach(readNics(vm.facts), options.instance);
    const [found, regions] = await Promise.all([inspectVm(qmp), findGuestRam(qmp, identity.pid), plugInTaps(nics)]);
    const difference = explainDifferences(vm, found);
    if (difference !== undefined) throw refuse(difference);
    const layout = new RamLayout(regions);
    const otherwise = RamLayout.fromJson(vm.memory).difference(layout);
    if (otherwise !== undefined) throw refuse(`its memory: ${otherwise}`);
    abandoned.throwIfAborted();
    if (vm.facts['sharedMemory'] !== undefined && options.onWatched) {
      await options.onWatched(identity, await watchRegions(qmp, identity.pid));
    }
    const memory = GuestMemory.open(
      layout,
      regions.map(({ fdPath }) => fdPath),
    );
    // What QEMU itself may have written while it started must not show where the source sends nothing.
    memory.punchAll();
    const record: VmRecord = {
      name: vm.name,
      uuid: options.uuid,
      epoch: options.epoch,
      pid: identity.pid,
      startTicks: identity.startTicks,
      binary,
      args: derived.args,
      qmpPath: paths.qmp,
      consoleLogPath: derived.hasConsole ? paths.consoleLog : null,
      consoleSocketPath: derived.hasConsole ? paths.consoleSocket : null,
      memoryBytes: layout.bytes,
      vcpus: found.vcpuTids.length,
      nics,
      adopted: false,
      createdAt: typeof vm.facts['createdAt'] === 'number' ? vm.facts['createdAt'] : Date.now(),
      arrivedFrom: options.from,
      contentKey: parseKey(vm.facts['contentKey'])?.toString('hex') ?? newVmKey(),
    };
    return new DestinationGuest({
      record,
      paths,
      identity,
      qmp,
      memory,
      regions,
      disks,
      notes: [...derived.notes, ...noteVersions(vm, found.qemuVersion)],
      borrowed: null,
      uffd: undefined,
      diskServer: diskServer ?? null,
    });
  } catch (error) {
    qemu?.qmp.close();
    if (qemu) await killQemu(qemu.identity);
    await diskServer?.end();
    rmSync(paths.directory, { recursive: true, force: true });
    throw abandoned.aborted ? abandoned.reason : error;
  } finally {
    over.abort();
  }
}

/** What its binary says that it lacks tells more than the last words of a QEMU that would not start. */
async function whyNotStarted(error: unknown, vm: OfferedVm, refuse: (reason: string) => GodwitError): Promise<unknown> {
  if (!hasCode(error, 'GW_QEMU_START')) return error;
  const lacks = await findBinaryFit(vm).then(
    ({ blockers }) => blockers,
    () => [],
  );
  return lacks.length > 0 ? refuse(explainBlockers(lacks)) : error;
}

/** The same disks, but those that would be copied are beside QEMU's sockets, and go with them. */
function tried(disks: readonly PlannedDisk[], directory: string): readonly PlannedDisk[] {
  return disks.map((disk, at) =>
    disk.kind === 'copied' && disk.image === 'file' ? { ...disk, path: join(directory, `disk-${at}`) } : disk,
  );
}

function createTried(disks: readonly PlannedDisk[]): void {
  for (const { name, kind, image, path, format, virtualBytes } of disks) {
    if (kind === 'copied' && image === 'file') createImage(name, path, format, virtualBytes);
  }
}
