/**
 * The watch on a region that a process which has ended has left in a QEMU.
 */
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
