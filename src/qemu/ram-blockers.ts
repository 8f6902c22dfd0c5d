/**
 * Memory that stands in the way of a migration: RAM that cannot be read or tracked from outside, and what the VM shares
 * with others.
 *
 * Must hold: pure, as blockers.ts, which it is a part of.
 */
import type { Blocker } from './blocker.ts';
import { SHARED_RAM_FIX } from './derive-memory.ts';
import type { VmFacts } from './facts.ts';
import type { RamBackend } from './ram.ts';
import { groupMember, regionNameOf, type SharedBackend } from './shared-memory.ts';

/** From this version on x-ignore-shared leaves out named files only (migration/ram.c, ramblock_is_ignored). */
const MEMFD_STREAMED_SINCE = [8, 1] as const;

const REGION_FIX =
  'start the VM with -object memory-backend-file,id=…,size=…,mem-path=/dev/shm/NAME,share=on behind the ivshmem-plain ' +
  'device, or unplug it (device_del)';

export function findRamBlockers(facts: VmFacts, ram: readonly RamBackend[]): Blocker[] {
  const encrypted: Blocker = {
    id: 'encrypted-memory',
    what: 'RAM',
    reason: 'the guest memory is encrypted (SEV or TDX)',
    fix: 'start the VM without -machine confidential-guest-support',
  };
  return [
    ...(ram.length === 0 ? [privateRam('RAM')] : []),
    ...ram.flatMap((backend): Blocker[] => {
      if (!backend.shared || backend.place === null) return [privateRam(backend.id)];
      if (backend.place.fileSystem === 'other') {
        const reason = 'its file is neither on tmpfs nor a memfd, so writes to it cannot be tracked';
        return [{ id: 'ram-on-disk', what: backend.id, reason, fix: SHARED_RAM_FIX }];
      }
      if (backend.place.fileSystem === 'hugetlbfs') {
        const reason = `RAM on pages of ${backend.place.pageSize} bytes (hugetlbfs) is not supported yet`;
        return [{ id: 'huge-pages', what: backend.id, reason, fix: SHARED_RAM_FIX }];
      }
      return streamsMemfd(facts, backend) ? [{ ...memfdRam(facts, backend), fix: SHARED_RAM_FIX }] : [];
    }),
    ...(facts.encryptedMemory ? [encrypted] : []),
  ];
}

function privateRam(what: string): Blocker {
  return { id: 'private-ram', what, reason: 'this RAM is private to QEMU', fix: SHARED_RAM_FIX };
}

/** Of what the VM shares: that it does, or why not even its group could move with it. */
export function findSharingBlockers(facts: Pick<VmFacts, 'qemuVersion'>, shared: readonly SharedBackend[]): Blocker[] {
  return shared.map((backend): Blocker => {
    const { place, device } = backend;
    const { what } = device;
    if (!backend.shared || place === null) {
      const reason = `its memory ${backend.id} is private to this QEMU, so no other VM has it`;
      return { id: 'ivshmem-private', what, reason, fix: REGION_FIX };
    }
    if (place.fileSystem !== 'tmpfs') {
      const reason = `its memory is the file ${place.path}, which is not on tmpfs, so accesses to it cannot be seen`;
      return { id: 'ivshmem-file', what, reason, fix: REGION_FIX };
    }
    if (streamsMemfd(facts, backend)) return { ...memfdRam(facts, backend), fix: REGION_FIX };
    if (!device.isMaster) {
      const reason = 'QEMU does not migrate an ivshmem device that is a peer (master=on was not given)';
      return {
        id: 'ivshmem-peer',
        what,
        reason,
        fix: 'start the VM with master=on for this device, or unplug it (device_del)',
      };
    }
    return groupMember(regionNameOf(place.path));
  });
}

function memfdRam({ qemuVersion }: Pick<VmFacts, 'qemuVersion'>, { id }: RamBackend): Omit<Blocker, 'fix'> {
  const reason = `QEMU ${qemuVersion} puts RAM in a memfd into the device state (since 8.1)`;
  return { id: 'memfd-ram', what: id, reason };
}

function streamsMemfd({ qemuVersion }: Pick<VmFacts, 'qemuVersion'>, { type }: RamBackend): boolean {
  return type === 'memory-backend-memfd' && isAtLeast(qemuVersion, MEMFD_STREAMED_SINCE);
}

function isAtLeast(version: string, [major, minor]: readonly [number, number]): boolean {
  const [ours = 0, oursMinor = 0] = version.split('.').map(Number);
  return ours > major || (ours === major && oursMinor >= minor);
}
