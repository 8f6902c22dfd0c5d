/**
 * The regions of this host: memory that several of its VMs have in common, and which VMs these are (R1).
 *
 * Owns: the table region → VMs, and the files behind the regions that were made here. Must hold: a region has one size
 * and one file, however many VMs have it; a VM counts while its QEMU lives and maps the file, whatever was written down;
 * the file of a region goes with the last VM that has it.
 */
import { explain } from '../base/errors.ts';
import { isMapped, isSameFile, mapsFile } from '../linux/file-users.ts';
import { isAlive, type ProcessIdentity } from '../linux/process.ts';
import { RAM_DIRECTORY } from '../migration/vm-record.ts';
import type { SharedMemorySpec } from '../qemu/spec.ts';
import {
  freeName,
  type HostRegion,
  isProcess,
  type MappedRegion,
  occupantOf,
  problemOf,
  type RegionMember,
  refuseUnfit,
  sharedFilesOf,
  type VmProcess,
} from './host-region.ts';
import type { Logger } from './logger.ts';
import { RegionClaim } from './region-claim.ts';
import { RegionFiles } from './region-file.ts';
import { RegionStore } from './region-store.ts';

export interface SharedRegionsOptions {
  readonly stateDirectory: string;
  /** On tmpfs. */
  readonly ramDirectory?: string;
  readonly log: Pick<Logger, 'error' | 'warn' | 'info'>;
  /** What VMs of these names share, or with whom, is another now. */
  changed(vms: readonly string[]): void;
}

export class SharedRegions {
  readonly #options: SharedRegionsOptions;
  readonly #store: RegionStore;
  readonly #files: RegionFiles;
  readonly #regions = new Map<string, HostRegion>();
  /** Regions on their way between hosts, until whoever moves them has claimed them. */
  #held: ReadonlySet<string> = new Set();

  constructor(options: SharedRegionsOptions) {
    this.#options = options;
    this.#store = new RegionStore(options.stateDirectory);
    this.#files = new RegionFiles(options.ramDirectory ?? RAM_DIRECTORY, options.stateDirectory);
  }

  /** Before `restore`: these stay until they are claimed, because they were changing hosts. */
  hold(names: readonly string[]): void {
    this.#held = new Set(names);
  }

  /** Brings the table of an earlier daemon in line with the VMs that live, and removes what nobody has any more. */
  restore(vms: readonly VmProcess[]): void {
    const { log } = this.#options;
    const { regions, damage } = this.#store.load();
    const ours = new Set(this.#files.list());
    if (damage) log.error(damage, 'cannot read the table of shared memory; made anew from the VMs that run');
    for (const { vms: _then, ...region } of regions) this.#regions.set(region.name, { ...region, members: [] });
    // Pages can be in these files that are nowhere else, whatever has become of the table.
    const lost = this.#files.find(this.#held).filter(({ name }) => !this.#regions.has(name));
    for (const region of lost) this.#regions.set(region.name, region);
    for (const vm of vms.filter(isAlive)) {
      this.join(vm);
      this.#note(vm, sharedFilesOf(vm), ours);
    }
    for (const region of [...this.#regions.values()]) {
      const problem = problemOf(region);
      if (region.members.length > 0 && problem) log.warn({ region: region.name, problem }, 'shared memory is damaged');
      // A QEMU of a migration that goes on is in no record yet.
      if (this.#isUnused(region)) this.#drop(region);
    }
    this.removeLeft();
    this.#save();
  }

  /** Files that nobody knows and nobody maps: of a killed daemon, or made anew by a QEMU whose region was given up meanwhile. */
  removeLeft(): void {
    for (const path of this.#files.removeLeft([...this.#regions.values()])) {
      this.#options.log.info({ path }, 'removed shared memory that was left');
    }
  }

  /** Those that VMs have now. */
  list(): HostRegion[] {
    this.#prune();
    return [...this.#regions.values()]
      .map((region) => ({ ...region, members: region.members.filter(({ process }) => process !== null) }))
      .filter(({ members }) => members.length > 0);
  }

  /** Those that this process has. */
  of(process: ProcessIdentity): HostRegion[] {
    return [...this.#regions.values()].filter(({ members }) => members.some((member) => isProcess(member, process)));
  }

  /** How much memory they would take that no VM has yet. */
  newBytesOf(wanted: readonly SharedMemorySpec[]): number {
    return wanted.reduce((sum, { name, sizeBytes }) => sum + (this.#regions.has(name) ? 0 : sizeBytes), 0);
  }

  /** Why it cannot begin to change hosts: see `occupantOf`. */
  occupantOf(region: string): string | undefined {
    return occupantOf(this.#regions.get(region));
  }

  /**
   * For a VM whose QEMU is about to be started: makes the files that are not there.
   * @param move - it is for no VM: they change hosts, and no VM gets them until they have (`RegionClaim.moved`)
   * @throws GW_INPUT_INVALID when another VM has one in another size, GW_REGION_UNUSABLE when its file is not usable, or moves
   */
  claim(vm: string, wanted: readonly SharedMemorySpec[], move?: 'moving'): RegionClaim {
    this.#prune();
    const member: RegionMember = { vm, process: null, ...(move && { move }) };
    for (const [index, spec] of wanted.entries()) refuseUnfit(member, spec, index, this.#regions.get(spec.name));
    const names = wanted.map(({ name }) => name);
    const drop = (): void => this.#leave(names, (other) => other === member);
    try {
      for (const { name, sizeBytes } of wanted) {
        const region = this.#regions.get(name) ?? this.#make(name, sizeBytes, vm);
        this.#regions.set(name, { ...region, members: [...region.members, member] });
      }
    } catch (error) {
      drop();
      throw error;
    }
    if (names.length > 0) this.#save();
    this.#held = new Set([...this.#held].filter((name) => !names.includes(name)));
    const regions = names.map((name) => this.#regions.get(name)!);
    const moved = (): unknown => Object.assign(member, { move: 'moved' });
    return new RegionClaim(vm, regions, { drop, settle: (process) => this.#settle(member, process), moved });
  }

  /** Those of a VM that somebody else started, or that was given them by arguments of its own. */
  adopt(vm: VmProcess, found: readonly MappedRegion[]): void {
    this.#note(vm, found, new Set());
    if (found.length > 0) this.#save();
  }

  /** Of a VM that runs here now: it has what its QEMU maps. */
  join({ name: vm, pid, startTicks }: VmProcess): void {
    const process = { pid, startTicks };
    for (const region of this.#regions.values()) {
      if (!region.members.some((member) => isProcess(member, process)) && mapsFile(pid, region)) {
        this.#add(region, { vm, process });
      }
    }
  }

  /** Its QEMU has ended. */
  release(process: ProcessIdentity): void {
    const names = this.of(process).map(({ name }) => name);
    if (names.length > 0) this.#leave(names, (member) => isProcess(member, process));
  }

  #make(name: string, bytes: number, vm: string): HostRegion {
    const region = this.#files.create(name, bytes, vm);
    this.#options.log.info({ region: name, bytes }, 'shared memory made');
    return region;
  }

  #settle(member: RegionMember, process: ProcessIdentity): void {
    const settled = { ...member, process };
    for (const [name, region] of this.#regions) {
      if (!region.members.includes(member)) continue;
      const members = region.members.map((other) => (other === member ? settled : other));
      this.#regions.set(name, { ...region, members });
      this.#tell({ ...region, members });
    }
    this.#save();
  }

  #note(vm: VmProcess, found: readonly MappedRegion[], ours: ReadonlySet<string>): void {
    const process = { pid: vm.pid, startTicks: vm.startTicks };
    for (const { name: wanted, bytes, path: named, device, inode } of found) {
      const known = [...this.#regions.values()].find((region) => isSameFile(region, { device, inode }));
      if (known?.members.some((member) => isProcess(member, process))) continue;
      const path = named.replace(/ \(deleted\)$/, '');
      const name = freeName(wanted, this.#regions);
      const region = known ?? { name, bytes, path, device, inode, isOurs: ours.has(path), members: [] };
      this.#add(region, { vm: vm.name, process });
    }
  }

  #add(region: HostRegion, member: RegionMember): void {
    const joined = { ...region, members: [...region.members, member] };
    this.#regions.set(region.name, joined);
    this.#tell(joined);
  }

  #leave(names: readonly string[], isLeaving: (member: RegionMember) => boolean): void {
    for (const name of names) {
      const region = this.#regions.get(name);
      if (!region?.members.some(isLeaving)) continue;
      const members = region.members.filter((member) => !isLeaving(member));
      this.#regions.set(name, { ...region, members });
      if (members.length === 0) this.#drop(region);
      this.#tell(region);
    }
    this.#save();
  }

  /** Those whose QEMU has ended without a word have nothing. */
  #prune(): void {
    const isDead = ({ process }: RegionMember): boolean => process !== null && !isAlive(process);
    const all = [...this.#regions.values()];
    const left = all.filter(({ members }) => members.some(isDead)).map(({ name }) => name);
    if (left.length > 0) this.#leave(left, isDead);
    const unused = [...this.#regions.values()].filter((region) => this.#isUnused(region));
    for (const region of unused) this.#drop(region);
    if (unused.length > 0) this.#save();
  }

  #isUnused(region: HostRegion): boolean {
    return region.members.length === 0 && !this.#held.has(region.name) && !isMapped(region);
  }

  #drop(region: HostRegion): void {
    const { log } = this.#options;
    this.#regions.delete(region.name);
    if (!region.isOurs) return;
    try {
      this.#files.remove(region.path, region);
      log.info({ region: region.name }, 'shared memory removed');
    } catch (error) {
      log.error({ region: region.name, path: region.path, reason: explain(error) }, 'cannot remove shared memory');
    }
  }

  #tell({ members }: HostRegion): void {
    this.#options.changed(members.map(({ vm }) => vm));
  }

  /** A table that is not saved is made anew from the VMs that run, so nothing that has happened waits for the disk. */
  #save(): void {
    try {
      this.#store.save(
        [...this.#regions.values()].map(({ members, ...region }) => ({ ...region, vms: members.map(({ vm }) => vm) })),
      );
    } catch (error) {
      this.#options.log.error({ reason: explain(error) }, 'cannot save the table of shared memory');
    }
  }
}
