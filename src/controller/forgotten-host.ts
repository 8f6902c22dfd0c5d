/**
 * When a host that has registered is forgotten.
 *
 * Must hold: not while it beats, nor while an evacuation goes on that needs it: who carries that out would know its source, or where VMs
 * are on their way to, no more.
 */
import type { ForgottenHost } from '../api/fleet-schema.ts';
import { GodwitError } from '../base/errors.ts';
import type { Evacuations } from './evacuations.ts';
import type { RegisteredHosts } from './registered-hosts.ts';

/**
 * @param registered - null: hosts do not register
 * @throws GW_FLEET_UNKNOWN, GW_CONFLICT, GW_STORE_UNAVAILABLE
 */
export async function forgetHost(
  name: string,
  registered: RegisteredHosts | null,
  evacuations: Pick<Evacuations, 'open'>,
): Promise<ForgottenHost> {
  if (!registered) {
    const fix = 'its hosts are those of the fleet file: take it out there';
    throw new GodwitError('GW_FLEET_UNKNOWN', { kind: 'registered host', name, fix });
  }
  const open = await evacuations.open();
  const needs = open.find(({ from, to, vms }) => [from, to].includes(name) || vms.some((vm) => vm.to === name));
  if (needs) {
    const reason = `evacuation ${needs.id} goes on with it: wait for its end, or cancel it`;
    throw new GodwitError('GW_CONFLICT', { kind: 'host', name, reason });
  }
  await registered.forget(name);
  return { host: name };
}
