/**
 * Hosts that somebody names: as what VMs leave, or as where they are to go.
 *
 * Must hold: one that the fleet does not have, or that gets no VMs now, is refused by name, with what to do.
 */
import type { EvacuationView } from '../api/evacuation-schema.ts';
import { GodwitError } from '../base/errors.ts';
import type { FleetFile } from './fleet-file.ts';

/** @param to - null: to wherever is best @throws GW_INPUT_INVALID */
export function refuseUnknown({ hosts }: FleetFile, field: string, from: string, to: string | null): void {
  const names = hosts.map(({ name }) => name);
  for (const [where, value] of [
    [field, from],
    ['to', to],
  ] as const) {
    if (value === null || names.includes(value)) continue;
    throw new GodwitError('GW_INPUT_INVALID', { field: where, value, fix: `give one of ${names.join(', ')}` });
  }
  if (from === to) throw new GodwitError('GW_INPUT_INVALID', { field: 'to', value: from, fix: 'give another host' });
}

/**
 * No VMs are to come to a host that they are to leave.
 *
 * @param open - evacuations that go on
 * @throws GW_CONFLICT
 */
export function refuseLeft(name: string, isMarked: boolean, open: readonly EvacuationView[]): void {
  const left = open.find(({ from, onlyVms }) => from === name && onlyVms === null);
  const reason = isMarked
    ? `it is marked for maintenance: take the mark away (\`godwit fleet maintenance ${name} off\`)`
    : `it is being evacuated itself (${left?.id}): cancel that first, or give another host`;
  if (isMarked || left) throw new GodwitError('GW_CONFLICT', { kind: 'host', name, reason });
}
