/**
 * What a settlement means for the VMs of this host: who has the VM once its migration has let go of it.
 *
 * Must hold: a VM that has left is forgotten at once, but its files stay until the migration has ended, because its QEMU
 * may still serve its memory; one that has arrived is kept from others until then; a migration that only owes the other
 * host a word changes nothing here.
 */
import type { MigrationHandle, VmSettlement } from '../migration/handle.ts';
import type { VmRegistry } from './vm-registry.ts';

/** Applies a settlement; returns what is left to do when the migration has ended. */
export async function applySettlement(
  registry: VmRegistry,
  handle: MigrationHandle,
  settlement: VmSettlement,
): Promise<() => Promise<void>> {
  const nothing = async (): Promise<void> => undefined;
  if (!handle.hasVm) return nothing;
  if (settlement.kind === 'arrived') {
    await registry.arrived(settlement.vm, handle.id);
    return async () => registry.find(settlement.vm.name)?.endLease();
  }
  if (handle.direction === 'incoming') {
    registry.notArrived(handle.vm, handle.id);
    return nothing;
  }
  if (settlement.kind === 'stays') {
    await registry.find(handle.vm)?.endLease();
    return nothing;
  }
  const left = registry.left(handle.vm, settlement.kind === 'left' ? settlement : { to: handle.peer });
  return async () => left.cleanUp();
}
