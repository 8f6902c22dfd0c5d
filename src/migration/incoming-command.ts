/**
 * What a person may ask of a migration at the host that the VM comes to.
 *
 * Must hold: until the VM is loaded this side may give up by itself; then only the source decides.
 */
import { GodwitError } from '../base/errors.ts';
import type { DestinationParts } from './destination-parts.ts';
import type { MigrationCommand } from './progress.ts';

type Asked = Pick<DestinationParts, 'events' | 'link' | 'facts' | 'phase'>;

/** @throws GW_CONFLICT, GW_MIGRATION_TOO_LATE */
export function takeIncomingCommand({ events, link, facts, phase }: Asked, command: MigrationCommand): void {
  const { migrationId, vm } = facts.offer;
  const refuse = (reason: string) => new GodwitError('GW_CONFLICT', { kind: 'Migration', name: migrationId, reason });
  if (command.kind !== 'cancel') throw refuse('only the host that the VM comes from can change it');
  if (['resuming', 'pagingIn', 'done'].includes(phase())) {
    throw new GodwitError('GW_MIGRATION_TOO_LATE', { vm: vm.name });
  }
  // Whatever was said now, a source that has given the VM away would take for its loss.
  if (phase() === 'loaded') throw refuse('the VM is loaded, and only the source can take it back');
  if (!link.isConnected) throw refuse('the source cannot be reached, and only it can decide');
  events.post({ kind: 'failed', error: new GodwitError('GW_MIGRATION_CANCELLED').toBody() });
}
