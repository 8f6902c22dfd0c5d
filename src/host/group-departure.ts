/**
 * The migration of a group, tied to this host: its regions, its VMs and their migrations.
 *
 * Owns: nothing of them. Must hold: whose a VM is, is told by what was written down of its own migration and never by times;
 * a migration of which nothing could be written down does not go on.
 */
import type { EventHub } from '../api/event-hub.ts';
import { GodwitError } from '../base/errors.ts';
import type { HostTraffic } from '../migration/handle.ts';
import type { startRegionSource } from '../sharing/region-threads.ts';
import type { GroupMigrationPort } from './group-migration-port.ts';
import { type HostGroup, partOf } from './groups.ts';
import type { LeavingGroupFiles } from './leaving-group.ts';
import { openLeavingRegion } from './leaving-region.ts';
import type { Migrations } from './migrations.ts';
import type { Vm } from './vm.ts';
import type { VmRegistry } from './vm-registry.ts';

export interface DepartingHost {
  readonly hostName: string;
  readonly registry: Pick<VmRegistry, 'find'>;
  readonly migrations: Pick<Migrations, 'begin' | 'check' | 'hasStayed' | 'reportOf'>;
  readonly traffic: HostTraffic;
  readonly events: Pick<EventHub, 'emit'>;
  readonly startRegion: typeof startRegionSource;
}

const RETRY_MS = 1000;
/** A stop takes a few milliseconds, saving the state tens of them. */
const OVERDUE_MS = 1000;

/**
 * @param recovered - resolves when the migrations of an earlier daemon have their VMs
 * @param resumes - an earlier daemon has begun it
 */
export function portOfDeparture(
  host: DepartingHost,
  group: HostGroup,
  files: LeavingGroupFiles,
  { recovered, resumes }: { readonly recovered: Promise<void>; readonly resumes: boolean },
): GroupMigrationPort {
  const { migrations, registry, events } = host;
  const { id, body } = files.record;
  const { order: _order, first: _first, requestId: _requestId, leader: _leader, modes = {}, ...each } = body;
  const modeOf = new Map(Object.entries(modes));
  const find = (name: string): Vm | undefined => {
    const vm = registry.find(name);
    return vm && files.isOf(vm.record) ? vm : undefined;
  };
  return {
    openRegion: (region, onEvent) => openLeavingRegion({ ...host, files, resumes }, region, onEvent),
    isHere: async (vm) => {
      await recovered;
      const known = files.member(vm);
      if (known?.state === 'moved') return false;
      return (await migrations.hasStayed(vm, known?.migration ?? null)) && find(vm) !== undefined;
    },
    check: async (vm) => {
      const { blockers } = await migrations.check(vm, body.to, partOf(id, group, false));
      return blockers.map(({ what, reason, fix }) => `${what}: ${reason} (${fix})`);
    },
    start: async (vm, waits) => {
      if (resumes) await recovered;
      if (!find(vm)) throw new GodwitError('GW_NOT_FOUND', { kind: 'VM', name: vm });
      const mode = modeOf.get(vm);
      const handle = await migrations.begin(vm, mode ? { ...each, mode } : each, partOf(id, group, waits));
      try {
        files.began(vm, handle.id);
      } catch (error) {
        // Refused where it is too late for that; then it has gone, and is told so.
        await handle.command({ kind: 'cancel' }).catch((refused: unknown) => {
          if (!(refused instanceof GodwitError)) throw refused;
        });
        if ((await handle.ended).owner === host.hostName) throw error;
      }
      return handle;
    },
    reportOf: (migration) => migrations.reportOf(migration),
    retryMs: RETRY_MS,
    overdueMs: OVERDUE_MS,
    hasEnded: (vm) => find(vm)?.hasEnded ?? true,
    changed: (view) => {
      files.note(view.members);
      events.emit({ kind: 'groupMigrationChanged', groupMigration: view });
    },
  };
}
