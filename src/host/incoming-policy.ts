/**
 * What this host says when another one offers it a VM.
 *
 * Must hold: a VM is admitted only when its name and its MAC addresses are free and its memory fits beside that of the VMs on their way here. A
 * mere check takes the room as long as its QEMU runs, and never the name. What only another migration or a check stands in
 * the way of is not refused: the source asks again.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Admission, IncomingPolicy, MigrationHandle } from '../migration/handle.ts';
import type { ContentPolicy } from '../migration/held-contents.ts';
import { vmPaths } from '../migration/vm-record.ts';
import type { IncomingGroups } from './incoming-groups.ts';
import type { IncomingPromises } from './incoming-promises.ts';
import { lackOfRoom } from './memory-room.ts';
import type { VmRegistry } from './vm-registry.ts';

export interface IncomingHost {
  readonly hostName: string;
  readonly stateDirectory: string;
  readonly registry: VmRegistry;
  readonly promises: IncomingPromises;
  readonly groups: IncomingGroups;
  /** How many migrations may come here at once. */
  readonly maxIncomingMigrations: number;
  readonly allowedNetworkScripts: readonly string[];
  /** null: images are made at the paths that they have at their source. */
  readonly images: string | null;
  readonly contents: ContentPolicy;
}

export interface MigrationsHere {
  /** In either direction. */
  isRunning(id: string): boolean;
  /** Takes charge of a migration that has begun. */
  track(handle: MigrationHandle): void;
  /** The daemon ends, and begins nothing more. */
  isClosing(): boolean;
}

type Offer = Parameters<IncomingPolicy['admit']>[0];

export function createPolicy(host: IncomingHost, migrations: MigrationsHere): IncomingPolicy {
  const { hostName, stateDirectory, registry, promises, allowedNetworkScripts, images, contents } = host;
  /** The VMs whose QEMUs run here for a check, by the id of the offer: what they open, another QEMU might not get. */
  const checks = new Map<string, string>();
  // A peer chooses the id: one that is known must not get a second journal or replace a migration that runs.
  const isKnown = (id: string) =>
    promises.has(id) || migrations.isRunning(id) || existsSync(join(stateDirectory, 'migrations', id));
  return {
    hostName,
    stateDirectory,
    allowedNetworkScripts,
    images,
    contents,
    regions: host.groups,
    sharedPathsOf: (vm, sharing) => host.groups.sharedPathsOf(vm, sharing),
    admit: (offer): Admission => {
      if (migrations.isClosing()) return { kind: 'refused', reason: 'its host daemon is stopping' };
      if (isKnown(offer.migrationId)) {
        const isHere = migrations.isRunning(offer.migrationId) && registry.find(offer.vm) !== undefined;
        const reason = isHere ? 'it is the host that the VM is on' : 'a migration with this id is known here already';
        return { kind: 'refused', reason };
      }
      if (!offer.checkOnly && registry.arriving.get(offer.vm)) {
        return { kind: 'notYet', reason: `an earlier migration of ${offer.vm} to here has not ended yet` };
      }
      const reason =
        registry.refusalFor(offer.vm) ??
        registry.epochs.refusalFor(offer) ??
        registry.macs.refusalFor(offer) ??
        findLack(host, offer, 0);
      if (reason !== undefined) return { kind: 'refused', reason };
      const { vm: name, uuid, epoch, memoryBytes, macs, from, migrationId: migration } = offer;
      const isChecked = [...checks.values()].includes(name);
      const hindrance = isChecked ? `a check of ${name} is being made here` : findHindrance(host, offer);
      if (hindrance !== undefined) return { kind: 'notYet', reason: hindrance };
      if (offer.checkOnly) {
        checks.set(migration, name);
        promises.makeForCheck(migration, memoryBytes);
        return { kind: 'admitted' };
      }
      registry.arriving.expect({ name, uuid, epoch, memoryBytes, macs, from, migration });
      promises.make(migration, memoryBytes, () => registry.notArrived(name, migration));
      return { kind: 'admitted' };
    },
    onChecked: (id) => {
      checks.delete(id);
      promises.endCheck(id);
      registry.regions.removeLeft();
    },
    onIncoming: (handle) => {
      promises.keep(handle);
      migrations.track(handle);
      handle.onEvent((event) => {
        if (event.kind === 'qemuStarted') registry.arriving.started(handle.vm, handle.id, event.qemu.pid);
        if (event.kind === 'regionsWatched') void host.groups.watched(handle.vm, event);
      });
      void handle.vmSettled.then(({ kind }) => (kind === 'absent' ? host.groups.notArrived(handle.vm) : undefined));
      registry.announceArriving(handle.vm, handle.id);
    },
  };
}

/** What stands in the way only as long as other VMs are on their way here. */
function findHindrance(host: IncomingHost, offer: Offer): string | undefined {
  const { promises, maxIncomingMigrations } = host;
  if (promises.count >= maxIncomingMigrations) {
    return `as many VMs are on their way here as maxIncomingMigrations allows (${maxIncomingMigrations})`;
  }
  // Part of what was promised is taken by now, so that this may wait for room that is there; it is known for certain
  // when the others have come.
  return findLack(host, offer, promises.ramBytes);
}

function findLack(host: IncomingHost, { vm, memoryBytes }: Offer, promisedBytes: number): string | undefined {
  const { ram: ramPath } = vmPaths(host.stateDirectory, vm, '');
  return lackOfRoom({ ramBytes: memoryBytes, ramPath, promisedBytes }, host.hostName)?.message;
}
