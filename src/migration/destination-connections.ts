/**
 * Further connections of a migration at the destination: who gets their descriptors.
 */
import { closeFd } from '../linux/socket.ts';
import type { JoinPurpose } from '../wire/messages.ts';
import type { DestinationLoading } from './destination-loading.ts';
import type { DestinationParts } from './destination-parts.ts';

/** The descriptor is its user's from now on. @throws GW_INTERNAL when QEMU is not there yet */
export function useConnection(
  parts: DestinationParts,
  loading: DestinationLoading,
  purpose: Exclude<JoinPurpose, 'resume'>,
  fd: number,
): void {
  if (purpose === 'urgent') pageOver(parts, loading, fd);
  else if (purpose === 'disk') parts.disks.fill(fd, loading.requireGuest());
  else parts.arrivals.add(fd);
}

/** The source's urgent connection, which is the pager's from now on. */
function pageOver({ life, phase, receiver }: DestinationParts, loading: DestinationLoading, fd: number): void {
  if (!receiver.pager && (phase() === 'pagingIn' || phase() === 'done')) {
    // Found again with every page, of which the source hears in a moment.
    life.signal.addEventListener('abort', () => closeFd(fd), { once: true });
    return;
  }
  const pager = receiver.pager ?? loading.openPager();
  receiver.resume(pager);
  pager.useLink(fd);
}
