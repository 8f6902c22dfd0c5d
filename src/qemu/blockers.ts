/**
 * Everything at the source that stands in the way of a migration, each with its cure.
 *
 * Must hold: pure; all that it judges was asked of QEMU or read from /proc before (`surveyVm`). What godwit does not
 * know to be safe (memory that others write, state that is not in QEMU) blocks; what QEMU itself objects to blocks too.
 */
import { type Argument, parseArguments, readOptions } from './arguments.ts';
import { type Blocker, mergeBlockers } from './blocker.ts';
import { findDeviceBlockers } from './device-blockers.ts';
import type { VmFacts } from './facts.ts';
import { listFiles } from './file-references.ts';
import type { InspectedRam } from './ram.ts';
import { findRamBlockers, findSharingBlockers } from './ram-blockers.ts';

/** Block drivers that map guest memory for a device or another process: as a URL, or inside of QEMU's `json:{…}`. */
const MAPPING_DRIVER = /(^|"driver": ?")(nvme|nvme-io_uring|virtio-blk-(vhost-user|vhost-vdpa|vfio-pci))(:\/\/|"|$)/;

/**
 * @param args - the source's arguments, without the binary
 * @param openPaths - what QEMU's descriptors point at (/proc/PID/fd)
 */
export function findBlockers(
  facts: VmFacts,
  args: readonly string[],
  memory: InspectedRam,
  openPaths: readonly string[],
): Blocker[] {
  const parsed = parseArguments(args);
  return mergeBlockers(
    findRamBlockers(facts, memory.ram),
    findSharingBlockers(facts, memory.shared),
    findDeviceBlockers(facts, parsed, openPaths),
    findDiskBlockers(facts, parsed),
    findStateBlockers(facts, parsed),
  );
}

function findDiskBlockers(facts: VmFacts, args: readonly Argument[]): Blocker[] {
  const named = new Set(listFiles(args).map((file) => file.path));
  const temporary = args.some(
    (argument) =>
      argument.option === 'snapshot' || (argument.option === 'drive' && readOptions(argument).isOn('snapshot')),
  );
  const snapshot: Blocker = {
    id: 'snapshot',
    what: '-snapshot',
    reason: 'writes go to a temporary file that only the source has',
    fix: 'start the VM without -snapshot and snapshot=on',
  };
  return [
    ...(temporary ? [snapshot] : []),
    ...facts.disks.flatMap((disk): Blocker[] => {
      if (MAPPING_DRIVER.test(disk.file) || MAPPING_DRIVER.test(disk.format)) {
        const reason = 'its driver lets a device or another process write guest memory, which cannot be tracked';
        const fix = 'use the disk as a block device of the host (driver host_device)';
        return [{ id: 'mapping-disk', what: disk.name, reason, fix }];
      }
      if (disk.ignoresFlush && !disk.readonly) {
        const reason = 'cache=unsafe: what the guest has flushed may not be on the disk when the destination reads it';
        return [{ id: 'unsafe-cache', what: disk.name, reason, fix: 'start the VM with cache=writeback' }];
      }
      // A path that the command line does not name came later: a snapshot was taken, a medium was changed.
      if (disk.file.startsWith('/') && named.size > 0 && !named.has(disk.file) && !temporary) {
        const reason = `its image is now ${disk.file}, which is not on the command line`;
        const fix = 'commit the snapshot (block-commit) or eject the medium, or restart the VM with this image';
        return [{ id: 'changed-disk', what: disk.name, reason, fix }];
      }
      return [];
    }),
    ...facts.blockJobs.map((job) => ({
      id: 'block-job',
      what: job,
      reason: 'a block job is running',
      fix: 'wait for it to end, or cancel it',
    })),
  ];
}

function findStateBlockers(facts: VmFacts, args: readonly Argument[]): Blocker[] {
  const found: Blocker[] = facts.blockedReasons.map((reason) => ({
    id: 'qemu-refuses',
    what: reason,
    reason: `QEMU says: ${reason}`,
    fix: 'remove what QEMU names from the VM',
  }));
  if (args.some(({ option }) => option === 'readconfig')) {
    const fix = 'give the options of that file on the command line';
    found.push({ id: 'config-file', what: '-readconfig', reason: 'its devices are in a file', fix });
  }
  if (facts.status === 'inmigrate') {
    const fix = 'wait until it has arrived';
    found.push({ id: 'not-loaded', what: 'VM', reason: 'it waits for its own state', fix });
  }
  const ended = [undefined, 'none', 'completed', 'failed', 'cancelled'];
  if (!ended.includes(facts.migrationStatus)) {
    const reason = `QEMU is migrating by itself (${facts.migrationStatus})`;
    found.push({ id: 'migrating', what: 'VM', reason, fix: 'wait for it to end, or cancel it (migrate_cancel)' });
  }
  return found;
}
