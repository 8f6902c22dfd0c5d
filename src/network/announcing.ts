/**
 * Tells the network where a VM is now, from the host's side (V8).
 *
 * QEMU says it through the VM's taps, so that this host's own bridge learns it; here it is said out of all other ports of the
 * bridge, to switches and hosts beyond, with the guest's IP addresses where they are known. Must hold: nothing is sent into a
 * tap of the VM: its guest would take it for somebody who claims its address.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { listPorts } from '../linux/network-links.ts';
import { PacketSocket } from '../linux/packet-socket.ts';
import { learnAddresses } from './addresses.ts';
import { announcementsOf } from './announcement.ts';
import type { AttachedNic } from './nic.ts';

/**
 * From the first one on. A frame can be lost, and a switch port can be about to come up; five with growing gaps are what
 * QEMU sends as well.
 */
export const ANNOUNCE_AFTER_MS: readonly number[] = [0, 50, 200, 500, 1000];

/**
 * Returns how many frames were sent, over all ports.
 * @param signal - ends it early
 * @throws GW_SYS_CALL, GW_SYS_UNSUPPORTED
 */
export async function announceNics(nics: readonly AttachedNic[], signal: AbortSignal): Promise<number> {
  const known = await learnAddresses(nics.filter(({ bridge }) => bridge !== null));
  if (known.length === 0) return 0;
  using socket = new PacketSocket();
  const startedMs = performance.now();
  let count = 0;
  for (const afterMs of ANNOUNCE_AFTER_MS) {
    if (!(await isTime(afterMs - (performance.now() - startedMs), signal))) break;
    for (const nic of known) count += await sendAll(socket, nic);
  }
  return count;
}

async function sendAll(socket: PacketSocket, { bridge, tap, mac, addresses }: AttachedNic): Promise<number> {
  const frames = announcementsOf(mac, addresses);
  const ports = (await listPorts(bridge!)).filter(({ ifname, flags }) => ifname !== tap && flags.includes('UP'));
  return ports.flatMap(({ ifindex }) => frames.filter((frame) => socket.send(ifindex, frame))).length;
}

/** False when it is not to be any more. */
async function isTime(afterMs: number, signal: AbortSignal): Promise<boolean> {
  // It is told whether it was broken off.
  if (afterMs > 0) await delay(afterMs, undefined, { signal }).catch(() => undefined);
  return !signal.aborted;
}
