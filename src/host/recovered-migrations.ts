/**
 * The migrations that an earlier daemon left, taken over by this one.
 *
 * Must hold: a VM that one of them has is nobody else's until that is settled; a journal that cannot be read withholds the
 * VM that it is about, if the other host may have it, and nothing else.
 */
import { explain } from '../base/errors.ts';
import { isAlive, waitForExit } from '../linux/process.ts';
import type { DamagedMigration, FoundMigrations, MigrationHandle } from '../migration/handle.ts';
import type { IncomingPromises } from './incoming-promises.ts';
import type { Logger } from './logger.ts';
import type { MigrationStore } from './migration-store.ts';
import type { OpenMigrations } from './open-migrations.ts';
import type { VmRegistry } from './vm-registry.ts';

interface Host {
  readonly registry: VmRegistry;
  readonly promises: IncomingPromises;
  readonly store: MigrationStore;
  readonly log: Pick<Logger, 'error'>;
}

/** Returns the names of VMs that must be left alone for now. */
export function takeOver(
  host: Host,
  { handles, damaged }: FoundMigrations,
  here: { track(handle: MigrationHandle): void; readonly open: OpenMigrations },
): ReadonlySet<string> {
  const { promises, registry, store } = host;
  const taken = new Set<string>();
  for (const handle of handles) {
    if (handle.hasVm) {
      const leased = lease(host, handle);
      if (handle.direction === 'incoming') {
        promises.keep(handle);
        if (leased === 'none') registry.arriving.expectRecovered(handle);
      }
      if (leased !== 'another') taken.add(handle.vm);
    } else if (store.get(handle.id)) {
      // Its users were told how it ended; what it still owes the other host is no concern of theirs.
      here.open.add(handle, Promise.resolve());
      continue;
    }
    here.track(handle);
  }
  for (const migration of damaged) {
    const withheld = withhold(host, migration, taken);
    if (withheld !== null) taken.add(withheld);
  }
  return taken;
}

/**
 * Also of a VM that had arrived already: the migration has its QMP connection until it settles. Two of one VM are no reason
 * not to start: each says in its journal what it may do with the VM.
 */
function lease({ registry, log }: Host, handle: MigrationHandle): 'its' | 'another' | 'none' {
  const { id, vm, direction } = handle;
  const found = registry.find(vm);
  if (!found) return 'none';
  // One that has ended gives its name to the one that comes.
  if (registry.ofMigration(handle) === undefined) return found.hasEnded ? 'none' : 'another';
  try {
    if (!found.hasEnded) found.takeLease(id, direction);
  } catch (error) {
    log.error({ migration: id, vm, reason: explain(error) }, 'another one has the VM of this migration, too');
  }
  return 'its';
}

/** Returns the VM that nobody gets. */
function withhold({ registry, promises, store, log }: Host, migration: DamagedMigration, taken: ReadonlySet<string>) {
  const { id, coming, error } = migration;
  const vm = migration.vm ?? store.vmOfBegun(id);
  const reason = explain(error);
  // A later migration that has the VM knows more.
  const isOpen = !store.knowsOwner(id) && (vm === null || !taken.has(vm));
  const withheld = vm !== null && isOpen && registry.withhold(vm, reason) ? vm : null;
  const facts = { migration: id, vm, reason };
  if (withheld !== null) log.error(facts, 'nobody knows whose this VM is: it is withheld');
  else if (isOpen && coming?.qemu && isAlive(coming.qemu) && registry.refusalFor(coming.vm) === undefined) {
    registry.arriving.expectRecovered(coming);
    promises.keepWithout(coming);
    void waitForExit(coming.qemu).then(() => {
      promises.drop(id);
      registry.notArrived(coming.vm, id);
    });
    log.error(
      { ...facts, pid: coming.qemu.pid },
      'nobody knows whether this VM has come here: its name and its QEMU are kept',
    );
  } else if (vm === null && isOpen) log.error(facts, 'nobody knows which VM this migration is about: none is withheld');
  else log.error(facts, 'a migration cannot go on; no VM waits for it');
  return withheld;
}
