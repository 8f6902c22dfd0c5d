/**
 * Network interfaces of this host, by the program `ip` (package iproute2), which every distribution has.
 *
 * Owns: how it is called and what is read of its answers. It works in the network namespace of this process. Must never:
 * give it a name that could be taken for an option or a keyword: callers pass names that the kernel has given or that were
 * checked.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { GodwitError } from '../base/errors.ts';

/** Of what `ip -json link` tells, what is used. */
export interface NetworkLink {
  readonly ifindex: number;
  readonly ifname: string;
  readonly flags: readonly string[];
  /** Largest packet, in bytes. */
  readonly mtu: number;
  /** Its MAC address, in small letters. */
  readonly address?: string;
}

/** An address in the neighbour table (ip-neighbour(8)). */
export interface Neighbour {
  /** IPv4 or IPv6. */
  readonly dst: string;
  /** Absent where nobody answered. */
  readonly lladdr?: string;
}

/** The names of a host's hundreds of interfaces, in JSON. */
const MAX_OUTPUT_BYTES = 16 * 2 ** 20;
/** The kernel answers in milliseconds; it may wait for a driver. */
const TIMEOUT_MS = 10_000;

const run = promisify(execFile);

export async function listBridges(): Promise<NetworkLink[]> {
  return await query(['link', 'show', 'type', 'bridge']);
}

/** What is plugged into a bridge that exists. */
export async function listPorts(bridge: string): Promise<NetworkLink[]> {
  return await query(['link', 'show', 'master', bridge]);
}

/** Of all interfaces: an address may be known over a VLAN of the bridge. */
export async function listNeighbours(): Promise<Neighbour[]> {
  return await query(['neigh', 'show']);
}

/** Plugs an interface into a bridge, with all that belongs to it, and takes it into use. */
export async function plugIn(
  link: string,
  { bridge, mtu, mac }: { readonly bridge: string; readonly mtu: number; readonly mac: string },
): Promise<void> {
  // Without an address of its own: a port of a bridge needs none, and the host must not answer over it.
  const words = ['address', mac, 'addrgenmode', 'none', 'mtu', String(mtu), 'master', bridge, 'up'];
  await ip(['link', 'set', 'dev', link, ...words]);
}

async function query<T>(words: readonly string[]): Promise<T[]> {
  const text = await ip(['-json', ...words]);
  const found = text.trim() === '' ? [] : (JSON.parse(text) as T[]);
  // Older versions answer with an empty object for each that does not match.
  return found.filter((entry) => Object.keys(entry as object).length > 0);
}

/** @throws GW_SYS_UNSUPPORTED where there is no `ip`, GW_SYS_CALL with its words when it fails */
async function ip(words: readonly string[]): Promise<string> {
  try {
    const { stdout } = await run('ip', [...words], { maxBuffer: MAX_OUTPUT_BYTES, timeout: TIMEOUT_MS });
    return stdout;
  } catch (error) {
    const { code, stderr = '' } = error as { readonly code?: unknown; readonly stderr?: string };
    if (code === 'ENOENT') {
      const reason = 'the program ip is not in PATH: install iproute2';
      throw new GodwitError('GW_SYS_UNSUPPORTED', { feature: 'networks of VMs', reason }, { cause: error });
    }
    const errno = stderr.trim() || 'it was ended';
    throw new GodwitError('GW_SYS_CALL', { call: `ip ${words.join(' ')}`, errno }, { cause: error });
  }
}
