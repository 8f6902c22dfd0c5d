/**
 * The frames that tell a network where a VM is now.
 *
 * Pure. RARP (RFC 903) says it to switches, for whom any frame with the VM's address as its sender does; ARP (RFC 5227, an
 * announcement) and Neighbour Advertisement (RFC 4861, unsolicited) also to hosts, where an IP address of the VM is known.
 * Must hold: nothing in a frame differs from what the guest would say itself.
 */
import { isIPv4 } from 'node:net';
import { macBytes } from './mac-address.ts';

const BROADCAST = 'ff:ff:ff:ff:ff:ff';
/** Of ff02::1, all nodes of the link (RFC 2464). */
const ALL_NODES_MAC = '33:33:00:00:00:01';
const ALL_NODES = 'ff02::1';
const EtherType = { ipv4: 0x0800, arp: 0x0806, rarp: 0x8035, ipv6: 0x86dd } as const;
const ETHERNET = 1;
const ARP_REQUEST = 1;
const RARP_REQUEST = 3;
const ICMPV6 = 58;
const NEIGHBOUR_ADVERTISEMENT = 136;
/** What others have in their caches is wrong. */
const OVERRIDE = 0x20;
const TARGET_LINK_ADDRESS = 2;
/** Neighbour discovery is not for routers to hand on (RFC 4861, section 7.1). */
const LARGEST_HOP_LIMIT = 255;
/** The shortest frame of Ethernet, without its checksum. */
const MIN_FRAME_BYTES = 60;

/** All that there is to say of one interface. */
export function announcementsOf(mac: string, addresses: readonly string[]): Uint8Array[] {
  return [
    rarp(mac),
    ...addresses.map((address) => (isIPv4(address) ? arp(mac, address) : advertisement(mac, address))),
  ];
}

export function rarp(mac: string): Uint8Array {
  const own = macBytes(mac);
  const nobody = new Uint8Array(4);
  return ethernet(BROADCAST, mac, EtherType.rarp, arpBody(RARP_REQUEST, [own, nobody, own, nobody]));
}

export function arp(mac: string, ipv4: string): Uint8Array {
  const address = Uint8Array.from(ipv4.split('.'), Number);
  const parts = [macBytes(mac), address, new Uint8Array(6), address];
  return ethernet(BROADCAST, mac, EtherType.arp, arpBody(ARP_REQUEST, parts));
}

export function advertisement(mac: string, ipv6: string): Uint8Array {
  const from = ipv6Bytes(ipv6);
  const to = ipv6Bytes(ALL_NODES);
  const message = Buffer.from([
    ...[NEIGHBOUR_ADVERTISEMENT, 0, 0, 0, OVERRIDE, 0, 0, 0],
    ...from,
    ...[TARGET_LINK_ADDRESS, 1, ...macBytes(mac)],
  ]);
  message.writeUInt16BE(checksum([...from, ...to, 0, 0, 0, message.length, 0, 0, 0, ICMPV6, ...message]), 2);
  const header = [0x60, 0, 0, 0, 0, message.length, ICMPV6, LARGEST_HOP_LIMIT];
  return ethernet(ALL_NODES_MAC, mac, EtherType.ipv6, [...header, ...from, ...to, ...message]);
}

/** @param address - without a zone and without an IPv4 address in it, as the kernel writes it */
function ipv6Bytes(address: string): Uint8Array {
  const [before = '', after] = address.split('::');
  const groups = (text: string | undefined): number[] =>
    text ? text.split(':').map((group) => Number.parseInt(group, 16)) : [];
  const [head, tail] = [groups(before), groups(after)];
  const zeros = Array.from({ length: 8 - head.length - tail.length }, () => 0);
  return Uint8Array.from([...head, ...zeros, ...tail].flatMap((group) => [group >> 8, group & 0xff]));
}

function arpBody(operation: number, parts: readonly Uint8Array[]): number[] {
  const types = [0, ETHERNET, EtherType.ipv4 >> 8, EtherType.ipv4 & 0xff, 6, 4];
  return [...types, 0, operation, ...parts.flatMap((part) => [...part])];
}

function ethernet(to: string, from: string, type: number, body: readonly number[]): Uint8Array {
  const bytes = [...macBytes(to), ...macBytes(from), type >> 8, type & 0xff, ...body];
  const frame = new Uint8Array(Math.max(bytes.length, MIN_FRAME_BYTES));
  frame.set(bytes);
  return frame;
}

/** RFC 1071, over an even number of bytes. */
function checksum(bytes: readonly number[]): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += (bytes[at]! << 8) | bytes[at + 1]!;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
