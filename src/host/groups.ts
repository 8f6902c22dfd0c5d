/**
 * The groups of this host: VMs that share memory and therefore move together (R1).
 *
 * Owns: nothing; looks at the table of regions whenever it is asked.
 */
import type { GroupMigrationView } from '../api/group-migration-schema.ts';
import type { GroupDetailView, GroupMoveView, GroupView, StrangerView } from '../api/group-schema.ts';
import type { VmView } from '../api/vm-schema.ts';
import { GodwitError } from '../base/errors.ts';
import { type FileIdentity, type FileUser, findFileUsers } from '../linux/file-users.ts';
import { hugePagesOf } from '../linux/huge-tmpfs.ts';
import type { ProcessIdentity } from '../linux/process.ts';
import type { GroupPart } from '../migration/shared-part.ts';
import type { ComingRegionView } from './coming-records.ts';
import { type HostRegion, misfitOf, namesOf, problemOf } from './host-region.ts';
import { whyNotOn } from './region-file.ts';
import type { SharedRegions } from './shared-regions.ts';
import { findGroups, type VmGroup } from './vm-groups.ts';

/** A group with the regions that make it one. */
export interface HostGroup extends Omit<VmGroup, 'regions'> {
  readonly regions: readonly HostRegion[];
}

export class Groups {
  readonly #regions: Pick<SharedRegions, 'list'>;

  constructor(regions: Pick<SharedRegions, 'list'>) {
    this.#regions = regions;
  }

  list(): HostGroup[] {
    const regions = this.#regions.list();
    const groups = findGroups(regions.map((region) => ({ name: region.name, vms: namesOf(region) })));
    return groups.map((group) => ({
      ...group,
      regions: group.regions.map((name) => regions.find((region) => region.name === name)!),
    }));
  }

  /** @param name - of any of its regions, or else of its VMs. @throws GW_NOT_FOUND */
  get(name: string): HostGroup {
    const groups = this.list();
    const group =
      groups.find(({ regions }) => regions.some((region) => region.name === name)) ??
      groups.find(({ vms }) => vms.includes(name));
    if (group) return group;
    throw new GodwitError('GW_NOT_FOUND', { kind: 'group', name });
  }

  /** Of the VM that this process is. */
  of({ pid, startTicks }: ProcessIdentity): HostGroup | undefined {
    return this.list().find(({ regions }) =>
      regions.some(({ members }) =>
        members.some(({ process }) => process?.pid === pid && process.startTicks === startTicks),
      ),
    );
  }
}

/** What the migration of one of its VMs has to know. @param id - of the group's */
export function partOf(id: string, group: HostGroup, waits: boolean): GroupPart {
  const regions = group.regions.map(({ name, device, inode }) => ({ name, device, inode }));
  return { id, regions, waits };
}

/** A member moves with its group only. @throws GW_MIGRATION_BLOCKED */
export function refuseMember(
  groups: Groups,
  vm: { readonly name: string; readonly record: ProcessIdentity },
  to: string,
): void {
  const group = groups.of(vm.record);
  if (!group) return;
  const regions = group.regions.map(({ name }) => name).join(', ');
  const others = group.vms.filter((name) => name !== vm.name);
  const company = others.length > 0 ? ` with ${others.join(', ')}` : '';
  const reason = `it is a member of group ${group.name}: it has the shared memory ${regions}${company}, which moves with all that have it`;
  const fix = `move the group: godwit group migrate ${group.name} --to ${to}`;
  throw new GodwitError('GW_MIGRATION_BLOCKED', { vm: vm.name, group: group.name, reason, fix });
}

/** Who uses the region besides the VMs of its group and this daemon; a process in two roles is named once. */
export function findStrangers(region: FileIdentity, memberPids: Iterable<number>): Promise<FileUser[]> {
  return findFileUsers(region, new Set([...memberPids, process.pid]));
}

/** What of this host has to do with groups, beyond who shares what. */
export interface GroupSurroundings {
  /** As the host shows them. */
  readonly vms: readonly VmView[];
  /** Regions that come to this host. */
  readonly coming: readonly ComingRegionView[];
  /** What moves of it to another host. */
  readonly moving: GroupMigrationView | undefined;
}

export function viewOfGroup(group: HostGroup, { vms, coming, moving }: GroupSurroundings): GroupView {
  const awaited = coming.filter(({ region }) => group.regions.some(({ name }) => name === region));
  const arriving = new Map(awaited.flatMap(({ attached }) => attached.map(({ vm, pid }) => [vm, pid] as const)));
  for (const vm of group.vms) arriving.delete(vm);
  return {
    name: group.name,
    regions: group.regions.map((region) => ({
      name: region.name,
      sizeBytes: region.bytes,
      path: region.path,
      vms: namesOf(region),
      problem: problemOf(region),
    })),
    vms: [
      ...group.vms.map((name) => {
        const { state = 'unknown', pid = null } = vms.find((vm) => vm.name === name) ?? {};
        return { name, state, pid };
      }),
      ...[...arriving].map(([name, pid]) => ({ name, state: 'arriving' as const, pid })),
    ],
    migration: moving ? moveOf(moving) : comingOf(group, awaited),
  };
}

function moveOf({ id, to, waitsFor }: GroupMigrationView): GroupMoveView {
  return { id, direction: 'outgoing', peer: to, waitsFor };
}

function comingOf(group: HostGroup, awaited: readonly ComingRegionView[]): GroupMoveView | null {
  const [first] = awaited;
  if (!first) return null;
  const missing = new Set(awaited.flatMap(({ vms }) => vms.filter((vm) => !group.vms.includes(vm))));
  const waitsFor =
    missing.size > 0
      ? `VM ${[...missing].join(', ')}, still at ${first.from}`
      : `the last pages of shared memory ${awaited.map(({ region }) => region).join(', ')}`;
  return { id: first.group, direction: 'incoming', peer: first.from, waitsFor };
}

export async function detailOfGroup(group: HostGroup, surroundings: GroupSurroundings): Promise<GroupDetailView> {
  const members = group.regions.flatMap(({ members: all }) => all.flatMap(({ process }) => process?.pid ?? []));
  // QEMUs that wait here for their VMs.
  const awaited = surroundings.coming.flatMap(({ attached }) => attached.map(({ pid }) => pid));
  const strangers: StrangerView[] = [];
  for (const region of group.regions) {
    const found = await findStrangers(region, [...members, ...awaited]);
    strangers.push(...found.map(({ pid, command, use }) => ({ pid, command, region: region.name, use })));
  }
  return { ...viewOfGroup(group, surroundings), strangers };
}

/** A process that is no VM uses the memory, or its file is not what it was. @throws GW_MIGRATION_BLOCKED */
export async function refuseUnfit(group: HostGroup, surroundings: GroupSurroundings, to: string): Promise<void> {
  const { strangers } = await detailOfGroup(group, surroundings);
  const blocked = (reason: string): GodwitError =>
    new GodwitError('GW_MIGRATION_BLOCKED', { vm: group.vms.join(', '), group: group.name, to, reason });
  const [stranger] = strangers;
  if (stranger) {
    const { pid, command, region, use } = stranger;
    const fix = `end it, or make it a VM of this host: godwit vm adopt --pid ${pid}`;
    throw blocked(`process ${pid} (${command}) ${use} the shared memory ${region} and is no VM of the group (${fix})`);
  }
  for (const region of group.regions) {
    const huge = hugePagesOf(region.device);
    const problem = problemOf(region) ?? misfitOf(region) ?? (huge === undefined ? null : whyNotOn(huge));
    if (problem !== null) throw blocked(`shared memory ${region.name}: ${problem}`);
  }
}

/** It is on its way to this host still. @throws GW_CONFLICT */
export function refuseArriving(group: HostGroup, coming: readonly ComingRegionView[]): void {
  const awaited = coming.find(({ region }) => group.regions.some(({ name }) => name === region));
  if (!awaited) return;
  const reason = `its shared memory ${awaited.region} is on its way here from ${awaited.from} still`;
  throw new GodwitError('GW_CONFLICT', { kind: 'Group', name: group.name, reason });
}
