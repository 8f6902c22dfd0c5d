/**
 * What a settlement means for the VMs of this host: who has the VM once its migration has let go of it.
 *
 * Must hold: a VM that has left is forgotten at once, but its files stay until the migration has ended, because its QEMU
 * may still serve its memory; one that has arrived is kept from others until then; a migration that only owes the other
 * host a word changes nothing here. What fails here is this VM's trouble: the migration ends all the same, and the daemon
 * goes on.
 */
import { explain } from '../base/errors.ts';
import type { MigrationHandle, VmSettlement } from '../migration/handle.ts';
import type { Logger } from './logger.ts';
import type { VmRegistry } from './vm-registry.ts';

/** Waits for the settlement and applies it; gives what is left to do when the migration has ended. Neither rejects. */
export async function whenSettled(
  registry: VmRegistry,
  handle: MigrationHandle,
  log: Pick<Logger, 'error'>,
): Promise<() => Promise<void>> {
  const logFailure = (error: unknown): void => {
    const facts = { migration: handle.id, vm: handle.vm, reason: explain(error) };
    log.error(facts, 'cannot do what has to be done when a migration is over');
  };
  try {
    const cleanUp = await applySettlement(registry, handle, await handle.vmSettled);
    return () => cleanUp().catch(logFailure);
  } catch (error) {
    logFailure(error);
    return async () => undefined;
  }
}

async function applySettlement(
  registry: VmRegistry,
  handle: MigrationHandle,
  settlement: VmSettlement,
): Promise<() => Promise<void>> {
  const nothing = async (): Promise<void> => undefined;
  const { id, vm: name, direction } = handle;
  if (!handle.hasVm) return nothing;
  if (settlement.kind === 'arrived') {
    await registry.arrived(settlement.vm, id);
    return async () => registry.find(settlement.vm.name)?.endLease(id);
  }
  const vm = registry.ofMigration(handle);
  if (settlement.kind === 'undecided' && vm && registry.withhold(name, settlement.reason)) return nothing;
  if (direction === 'incoming') {
    // Of one of which that is not known the name is kept: its QEMU may be there, loaded.
    if (settlement.kind !== 'undecided') registry.notArrived(name, id);
    // It had arrived before, and is gone.
    await vm?.endLease(id);
    return nothing;
  }
  if (settlement.kind === 'stays' || settlement.kind === 'undecided') {
    await vm?.endLease(id);
    return nothing;
  }
  if (!vm) return nothing;
  const left = registry.left(vm, settlement.kind === 'left' ? settlement : { to: handle.peer }, id);
  return async () => left.cleanUp();
}
