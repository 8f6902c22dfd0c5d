/**
 * IP addresses of guests, as far as hosts have seen them.
 *
 * Nobody is asked for them: they are in the neighbour table of a host that has talked to the guest, and go with the VM.
 */
import { isIPv4 } from 'node:net';
import { listNeighbours, type Neighbour } from '../linux/network-links.ts';
import { isIpAddress, MAX_ADDRESSES, type Nic } from './nic.ts';

/** The interfaces with what this host knows added. @throws GW_SYS_CALL, GW_SYS_UNSUPPORTED */
export async function learnAddresses<T extends Nic>(nics: readonly T[]): Promise<T[]> {
  if (nics.length === 0) return [];
  const neighbours = await listNeighbours();
  return nics.map((nic) => ({ ...nic, addresses: addressesOf(nic, neighbours) }));
}

/** Pure. IPv4 first; what a host knew first wins where there are too many. */
export function addressesOf({ mac, addresses }: Nic, neighbours: readonly Neighbour[]): string[] {
  const seen = neighbours.filter(({ dst, lladdr }) => lladdr === mac && isIpAddress(dst)).map(({ dst }) => dst);
  const all = [...new Set([...addresses, ...seen])].slice(0, MAX_ADDRESSES);
  return [...all.filter((address) => isIPv4(address)), ...all.filter((address) => !isIPv4(address))];
}
