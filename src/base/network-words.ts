/**
 * What bridges, interfaces of VMs and their addresses may be called, whoever says it.
 *
 * Owns: patterns and bounds. Must hold: what matches is safe as a word of a command line.
 */

/** Names of interfaces of a host have at most 15 bytes (IFNAMSIZ); a leading dash would be an option. */
export const BRIDGE_NAME: RegExp = /^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$/;
export const NIC_NAME: RegExp = /^[A-Za-z][A-Za-z0-9_-]{0,30}$/;
/** As godwit writes it: in lower case, of one interface and not of a group of them. */
export const MAC_ADDRESS: RegExp = /^(?!00:00:00:00:00:00)[0-9a-f][02468ace](:[0-9a-f]{2}){5}$/;
/** Of RFC 791, and the kernel's bound for a bridge. */
export const MTU_RANGE = { min: 68, max: 65_535 } as const;
/** Ethernet's, which guests use unless they are told otherwise. */
export const DEFAULT_MTU = 1500;
/** A digit of a tap's name tells them apart. */
export const MAX_NICS = 8;
