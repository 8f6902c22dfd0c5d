/**
 * Hosts that tell others an address that leads each host to itself.
 *
 * Pure. Must hold: whoever asks for a move to such a host is told what to do; where one turns up later it only gets no VMs.
 */
import { GodwitError } from '../base/errors.ts';
import type { FleetFile } from './fleet-file.ts';
import type { FleetPicture } from './fleet-picture.ts';

const OWN_ADDRESS = /^(localhost|127\.[\d.]+|0\.0\.0\.0|\[::1?\]|\[::ffff:127\.[\d.]+\]):\d+$/;

/** Their addresses, by name. */
function findOwn({ hosts }: FleetFile, addresses: FleetPicture['addresses']): ReadonlyMap<string, string> {
  // Daemons of one machine, as in a trial, reach each other so.
  const machines = new Set(hosts.map(({ api }) => (api.startsWith('unix:') ? 'localhost' : new URL(api).hostname)));
  if (machines.size < 2) return new Map();
  return new Map([...addresses].filter(([, address]) => OWN_ADDRESS.test(address)));
}

/** Why each of them gets no VMs, by name. */
export function wordsOfOwn(file: FleetFile, addresses: FleetPicture['addresses']): ReadonlyMap<string, string> {
  return new Map([...findOwn(file, addresses)].map(([name, value]) => [name, `it tells ${value}: ${fixOf(name)}`]));
}

/**
 * @param to - null: to any that takes VMs
 * @throws GW_INPUT_INVALID
 */
export function refuseOwnAddresses(
  file: FleetFile,
  { addresses }: Pick<FleetPicture, 'addresses'>,
  from: string,
  to: string | null,
): void {
  const own = findOwn(file, addresses);
  for (const { name, takesVms } of file.hosts) {
    const value = own.get(name);
    const isDestination = to === null ? takesVms && name !== from : name === to;
    if (value === undefined || !isDestination) continue;
    throw new GodwitError('GW_INPUT_INVALID', { field: `hosts.${name}.migration`, value, fix: fixOf(name) });
  }
}

function fixOf(name: string): string {
  return `other hosts do not reach ${name} there: give \`migration: HOST:PORT\` with an address of its own`;
}
