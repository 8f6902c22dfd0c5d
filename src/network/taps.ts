/**
 * The host's end of a VM's interfaces: tap devices in bridges.
 *
 * QEMU makes them itself when it starts, and the kernel takes them away with it, however it ends: no tap outlives its VM, a
 * refused migration, or a daemon that was killed. Here they are plugged in, while the VM does not run yet or boots.
 */
import { GodwitError } from '../base/errors.ts';
import { listBridges, plugIn } from '../linux/network-links.ts';
import type { AttachedNic } from './nic.ts';

/** @throws GW_SYS_CALL, GW_INTERNAL when a bridge has gone since it was looked for */
export async function plugInTaps(nics: readonly AttachedNic[]): Promise<void> {
  if (nics.every(({ tap }) => tap === null)) return;
  const bridges = await listBridges();
  for (const { tap, bridge, mac } of nics) {
    if (tap === null || bridge === null) continue;
    const found = bridges.find(({ ifname }) => ifname === bridge);
    if (!found) throw new GodwitError('GW_INTERNAL', { reason: `the bridge ${bridge} has gone` });
    // A bridge that was not told its MTU takes the smallest of its ports, and its address is their lowest: it must keep both.
    await plugIn(tap, { bridge, mtu: found.mtu, mac: tapAddress(mac, found.address) });
  }
}

/**
 * High among addresses, higher than the bridge's where there are such, and never the guest's own, which the bridge would take for
 * one of its host's.
 */
export function tapAddress(guest: string, bridge = ''): string {
  const usual = `${guest.startsWith('fe') ? 'fa' : 'fe'}${guest.slice(2)}`;
  const highest = `fe:ff:ff${guest.slice(8)}`;
  return usual > bridge || highest === guest ? usual : highest;
}
