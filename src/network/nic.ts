/**
 * A VM's network interface as hosts speak of it: what goes with the VM from host to host, and what it has here.
 *
 * Owns: how interfaces are told in an offer. Must hold: what a peer tells is bounded and safe as a word of a command line
 * before it is used.
 */

import { isIP } from 'node:net';
import { GodwitError, type JsonValue } from '../base/errors.ts';
import { BRIDGE_NAME, MAC_ADDRESS, MAX_NICS, MTU_RANGE, NIC_NAME } from '../base/network-words.ts';

/** What goes with the VM. */
export interface Nic {
  /** QEMU's id of its backend (`-netdev`). */
  readonly name: string;
  /** The bridge that it is plugged into, on every host; null: QEMU's own user-mode network. */
  readonly bridge: string | null;
  readonly mac: string;
  /** Largest packet that the guest may send, in bytes: the bridge must let it through. */
  readonly mtu: number;
  /** IP addresses that hosts have seen the guest use. */
  readonly addresses: readonly string[];
}

/** What it has here besides. */
export interface AttachedNic extends Nic {
  /** The interface of this host; null without a bridge. */
  readonly tap: string | null;
}

export const MAX_ADDRESSES = 16;
/** The destination plugs a VM's interfaces into its own bridges. */
export const NICS_FEATURE = 'nics';

/** As the offer says it: nothing, where the VM has none. */
export function offerNics(nics: readonly Nic[]): { readonly nics?: JsonValue } {
  if (nics.length === 0) return {};
  return { nics: nics.map(({ name, bridge, mac, mtu, addresses }) => ({ name, bridge, mac, mtu, addresses })) };
}

/** @throws GW_MIGRATION_REFUSED where the other host would leave the VM without a network and say nothing */
export function requireNicsFeature(
  vm: string,
  nics: readonly Nic[] = [],
  { host, features }: { readonly host: string; readonly features: readonly string[] },
): void {
  const plugged = nics.flatMap(({ name, bridge }) => (bridge === null ? [] : [`${name} (${bridge})`]));
  if (plugged.length === 0 || features.includes(NICS_FEATURE)) return;
  const reason = `its godwit is older and would plug ${plugged.join(', ')} into no bridge; update it`;
  throw new GodwitError('GW_MIGRATION_REFUSED', { host, vm, reason });
}

/** What an offer's facts say of interfaces. @throws GW_WIRE_FRAME_INVALID */
export function readNics({ nics: offered }: Readonly<Record<string, unknown>>): Nic[] {
  if (offered === undefined) return [];
  const nics = Array.isArray(offered) && offered.length <= MAX_NICS ? offered.map(readNic) : [undefined];
  if (nics.every((nic) => nic !== undefined)) return nics;
  throw new GodwitError('GW_WIRE_FRAME_INVALID', { frame: 'offer', reason: 'its network interfaces cannot be read' });
}

/**
 * What they have here.
 * @param instance - of the VM on this host, eight characters that no other has
 */
export function attach(nics: readonly Nic[], instance: string): AttachedNic[] {
  return nics.map((nic, index) => ({ ...nic, tap: nic.bridge === null ? null : `gw${instance}n${index}` }));
}

/** The interfaces of this host, by the ids of QEMU's backends. */
export function tapsOf(nics: readonly AttachedNic[]): ReadonlyMap<string, string> {
  return new Map(nics.flatMap(({ name, tap }) => (tap === null ? [] : [[name, tap] as const])));
}

/** Without a zone, and IPv6 without an IPv4 address in it: as the kernel writes those of neighbours. */
export function isIpAddress(text: string): boolean {
  return isIP(text) === 4 || (isIP(text) === 6 && /^[0-9a-f:]+$/.test(text));
}

function readNic(given: unknown): Nic | undefined {
  if (typeof given !== 'object' || given === null) return undefined;
  const { name, bridge, mac, mtu, addresses } = given as Readonly<Record<keyof Nic, unknown>>;
  if (!matches(name, NIC_NAME) || !(bridge === null || matches(bridge, BRIDGE_NAME))) return undefined;
  if (!matches(mac, MAC_ADDRESS) || !isMtu(mtu) || !isAddressList(addresses)) return undefined;
  return { name, bridge, mac, mtu, addresses };
}

function matches(value: unknown, pattern: RegExp): value is string {
  return typeof value === 'string' && pattern.test(value);
}

function isMtu(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= MTU_RANGE.min && value <= MTU_RANGE.max;
}

function isAddressList(value: unknown): value is string[] {
  if (!Array.isArray(value) || value.length > MAX_ADDRESSES) return false;
  return value.every((address) => typeof address === 'string' && isIpAddress(address));
}
