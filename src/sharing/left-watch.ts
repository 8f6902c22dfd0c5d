/**
 * The watch on a region that a process which has ended has left in a QEMU.
 */
import { hasCode } from '../base/errors.ts';
import { listOpenFiles } from '../linux/process.ts';
import { Userfaultfd } from '../linux/userfaultfd.ts';
import type { WatchedVm } from './region-orders.ts';

/**
 * Ends it: what is missing reads as zeros from then on, so nothing of the region may be at another host.
 * @throws GW_SYS_PROCESS_GONE, GW_SYS_INJECT where the descriptor is none
 */
export function endLeftWatch(vm: WatchedVm, insideFd: number, bytes: number): void {
  using uffd = Userfaultfd.fetch(vm.pid, insideFd);
  uffd.unregister(vm.hostAddress, bytes);
  uffd.releaseInside();
}

/**
 * Ends a watch of which nobody knows by which userfaultfd it is: whoever made it was killed before that was written down. What the
 * process has open stays open, and does nothing then: some of it may be somebody else's.
 * @throws GW_SYS_PROCESS_GONE
 */
export function endUnknownWatch(vm: WatchedVm, bytes: number): void {
  const files = listOpenFiles(vm.pid).filter(({ path }) => path === 'anon_inode:[userfaultfd]');
  for (const { fd } of files) {
    using uffd = Userfaultfd.fetch(vm.pid, fd);
    try {
      uffd.unregister(vm.hostAddress, bytes);
    } catch (error) {
      // EINVAL: the memory is watched by another one, or by none.
      if (!hasCode(error, 'GW_SYS_CALL')) throw error;
    }
  }
}
