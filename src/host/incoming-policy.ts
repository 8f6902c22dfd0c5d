/**
 * What this host says when another one offers it a VM.
 *
 * Must hold: a VM is admitted only when its name is free and its memory fits now; a mere check reserves nothing.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Admission, IncomingPolicy, MigrationHandle } from '../migration/handle.ts';
import { lackOfRoom } from './memory-room.ts';
import type { VmRegistry } from './vm-registry.ts';

export interface IncomingHost {
  readonly hostName: string;
  readonly stateDirectory: string;
  readonly registry: VmRegistry;
}

export interface MigrationsHere {
  /** In either direction. */
  isRunning(id: string): boolean;
  /** Takes charge of a migration that has begun. */
  track(handle: MigrationHandle): void;
}

export function createPolicy(host: IncomingHost, migrations: MigrationsHere): IncomingPolicy {
  const { hostName, stateDirectory, registry } = host;
  // A peer chooses the id: one that is known must not get a second journal or replace a migration that runs.
  const admitted = new Set<string>();
  const isKnown = (id: string) =>
    admitted.has(id) || migrations.isRunning(id) || existsSync(join(stateDirectory, 'migrations', id));
  return {
    hostName,
    stateDirectory,
    admit: (offer): Admission => {
      if (isKnown(offer.migrationId))
        return { kind: 'refused', reason: 'a migration with this id is known here already' };
      if (!offer.checkOnly && registry.isComing(offer.vm)) {
        return { kind: 'notYet', reason: `an earlier migration of ${offer.vm} to here has not ended yet` };
      }
      const reason = registry.refusalFor(offer.vm) ?? lackOfRoom(offer.memoryBytes, hostName)?.message;
      if (reason !== undefined) return { kind: 'refused', reason };
      if (!offer.checkOnly) {
        const { vm: name, uuid, epoch, memoryBytes, from, migrationId: migration } = offer;
        admitted.add(migration);
        registry.expect({ name, uuid, epoch, memoryBytes, from, migration });
      }
      return { kind: 'admitted', notes: [] };
    },
    onIncoming: (handle) => {
      migrations.track(handle);
      registry.announceArriving(handle.vm, handle.id);
    },
  };
}
