/**
 * Whether a VM's interfaces can be plugged in here: looked at before anything of the VM is made.
 *
 * Must hold: what stands in the way is told with the bridge, why, and what to do about it.
 */
import { listBridges, type NetworkLink } from '../linux/network-links.ts';
import type { Blocker } from '../qemu/blocker.ts';
import type { Nic } from './nic.ts';

type Wanted = Pick<Nic, 'bridge' | 'mtu'>;

/** Empty when nothing stands in the way. */
export async function findNetworkBlockers(nics: readonly Wanted[]): Promise<Blocker[]> {
  return nics.some(({ bridge }) => bridge !== null) ? judgeBridges(nics, await listBridges()) : [];
}

/** Pure. One for each interface that cannot be plugged in. */
export function judgeBridges(nics: readonly Wanted[], bridges: readonly NetworkLink[]): Blocker[] {
  return nics.flatMap(({ bridge, mtu }) => {
    if (bridge === null) return [];
    const found = bridges.find(({ ifname }) => ifname === bridge);
    const problem = judge(bridge, mtu, found);
    return problem ? [{ id: 'bridge', what: `bridge ${bridge}`, ...problem }] : [];
  });
}

function judge(
  name: string,
  mtu: number,
  bridge: NetworkLink | undefined,
): Pick<Blocker, 'reason' | 'fix'> | undefined {
  if (bridge === undefined) {
    const fix = `make it: ip link add ${name} type bridge; ip link set ${name} up`;
    return { reason: 'this host has no bridge of that name', fix };
  }
  if (!bridge.flags.includes('UP')) {
    return { reason: 'it is down on this host', fix: `take it into use: ip link set ${name} up` };
  }
  if (bridge.mtu >= mtu) return undefined;
  return {
    reason: `its MTU on this host is ${bridge.mtu}, and the VM sends packets of up to ${mtu} bytes`,
    fix: `raise it (ip link set ${name} mtu ${mtu}, and that of its ports), or give the VM mtu: ${bridge.mtu}`,
  };
}
