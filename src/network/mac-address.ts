/**
 * The fleet's own name space of MAC addresses (V8).
 *
 * Pure. Must hold: every address is locally administered (IEEE 802, bit 1 of the first byte), so that it is never one that
 * a card was made with, and is that of one interface (bit 0 is clear). The first two bytes say whose name space it is, the
 * other four are drawn: of 10 000 VMs two have the same with a probability of one in a hundred.
 */
import { createHash } from 'node:crypto';

const LOCAL_BIT = 0b10;
const GROUP_BIT = 0b01;
const DRAWN_BYTES = 4;

/** @param owner - of the name space: a fleet's key, or what tells a host from others */
export function macNameSpace(owner: string): Uint8Array {
  const [first = 0, second = 0] = createHash('sha256').update('godwit mac addresses\0').update(owner).digest();
  return Uint8Array.of((first | LOCAL_BIT) & ~GROUP_BIT, second);
}

/**
 * An address that nobody has.
 * @param random - gives as many random bytes
 */
export function drawMac(
  nameSpace: Uint8Array,
  random: (bytes: number) => Uint8Array,
  isTaken: (mac: string) => boolean,
): string {
  for (;;) {
    const mac = formatMac([...nameSpace, ...random(DRAWN_BYTES)]);
    if (!isTaken(mac)) return mac;
  }
}

export function macBytes(mac: string): Uint8Array {
  return Uint8Array.from(mac.split(':'), (byte) => Number.parseInt(byte, 16));
}

function formatMac(bytes: readonly number[]): string {
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}
