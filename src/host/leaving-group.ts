/**
 * What is kept of a group that leaves this host until nothing of it is here any more: its record, the files of its regions, and
 * what their threads keep.
 *
 * Must hold: a region's file stays while pages of it are here only, whatever VMs of this host use it; the record is there before
 * anything is watched, so that whoever comes after this daemon finds all of it.
 */
import { existsSync, rmSync } from 'node:fs';
import type { GroupMemberView } from '../api/group-migration-schema.ts';
import { explain, GodwitError } from '../base/errors.ts';
import { isAlive } from '../linux/process.ts';
import { endLeftWatch, endUnknownWatch } from '../sharing/left-watch.ts';
import type { LeftVm } from '../sharing/region-threads.ts';
import { fromStored, type GroupRecords, journalPath, type LeavingGroup, toStored } from './group-records.ts';
import type { HostRegion } from './host-region.ts';
import { placesOf } from './leaving-region.ts';
import type { Logger } from './logger.ts';
import { newMemberView } from './member-outcome.ts';
import type { RegionClaim } from './region-claim.ts';
import type { SharedRegions } from './shared-regions.ts';

/** A VM that is called is not kept waiting for the disk, and a daemon that is killed forgets no more than of so long. */
const NOTE_AFTER_MS = 100;

type RegionRecord = LeavingGroup['regions'][number];

export interface LeavingGroupHost {
  readonly records: GroupRecords<LeavingGroup>;
  readonly regions: Pick<SharedRegions, 'claim' | 'list' | 'occupantOf'>;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
}

export interface LeavingRegion {
  readonly sessionKey: string;
  readonly journal: string;
  /** null: it begins now. */
  readonly resumes: readonly LeftVm[] | null;
}

export class LeavingGroupFiles {
  readonly #host: LeavingGroupHost;
  readonly #claim: RegionClaim;
  #record: LeavingGroup;
  #noting: NodeJS.Timeout | undefined;
  /** The record has gone for good. */
  #isOver = false;

  /**
   * Of a group that begins to leave.
   * @throws when it cannot be written down, GW_CONFLICT, GW_REGION_UNUSABLE; then nothing of it is kept
   */
  static begin(host: LeavingGroupHost, record: LeavingGroup): LeavingGroupFiles {
    for (const { name } of record.regions) {
      const occupant = host.regions.occupantOf(name);
      if (occupant === undefined) continue;
      const reason = `its shared memory ${name} cannot begin to move: ${occupant}`;
      throw new GodwitError('GW_CONFLICT', { kind: 'Group', name: record.name, reason });
    }
    const files = new LeavingGroupFiles(host, record);
    try {
      host.records.save(record.id, record);
      return files;
    } catch (error) {
      files.#claim[Symbol.dispose]();
      throw error;
    }
  }

  /** Of one that an earlier daemon has written down. @throws GW_REGION_UNUSABLE */
  constructor(host: LeavingGroupHost, record: LeavingGroup) {
    this.#host = host;
    this.#record = record;
    const wanted = record.regions.map(({ name, bytes }) => ({ name, sizeBytes: bytes }));
    this.#claim = host.regions.claim(`group ${record.id.slice(0, 8)} to ${record.body.to}`, wanted, 'moving');
  }

  get record(): LeavingGroup {
    return this.#record;
  }

  get regions(): readonly HostRegion[] {
    return this.#claim.regions;
  }

  /** @param resumes - of a group that an earlier daemon has begun */
  region(name: string, resumes: boolean): LeavingRegion {
    const { sessionKey, watched } = this.#record.regions.find((region) => region.name === name)!;
    const journal = journalPath('source', sessionKey);
    return { sessionKey, journal, resumes: resumes ? (watched ?? []).map(fromStored) : null };
  }

  /** @throws when it cannot be written down: then nothing may be begun */
  watched(name: string, vms: readonly LeftVm[]): void {
    const watched = vms.map(toStored);
    const regions = this.#record.regions.map((region) => (region.name === name ? { ...region, watched } : region));
    this.#record = { ...this.#record, regions };
    this.#host.records.save(this.#record.id, this.#record);
  }

  /** Its migration has begun. @throws when that cannot be written down: then nobody could tell later whose the VM is */
  began(vm: string, migration: string): void {
    const known = this.member(vm) ?? newMemberView(vm);
    const others = this.#record.members.filter((member) => member.vm !== vm);
    this.#record = { ...this.#record, members: [...others, { ...known, migration }] };
    this.#host.records.save(this.#record.id, this.#record);
  }

  /** What is shown of its VMs, of which the next daemon should know. */
  note(members: readonly GroupMemberView[]): void {
    if (this.#isOver) return;
    const begun = members.filter(({ migration }) => migration !== null);
    if (JSON.stringify(begun) === JSON.stringify(this.#record.members)) return;
    this.#record = { ...this.#record, members: begun };
    this.#noting ??= setTimeout(() => this.flush(), NOTE_AFTER_MS).unref();
  }

  /** Nothing that was noted is only in memory any more. */
  flush(): void {
    if (this.#noting === undefined || this.#isOver) return;
    clearTimeout(this.#noting);
    this.#noting = undefined;
    try {
      this.#host.records.save(this.#record.id, this.#record);
    } catch (error) {
      this.#host.log.warn({ group: this.#record.name, reason: explain(error) }, 'cannot write down how far a group is');
    }
  }

  /** As far as it was written down. */
  member(vm: string): GroupMemberView | undefined {
    return this.#record.members.find((member) => member.vm === vm);
  }

  /** Whether a VM of this host is the one that leaves: another one may have its name by now. */
  isOf({ name, pid, startTicks }: { name: string; pid: number; startTicks: number }): boolean {
    const [region] = this.#record.regions;
    const known = region!.watched?.find(({ vm }) => vm === name);
    return !known || (known.pid === pid && known.startTicks === startTicks);
  }

  /** Nothing of it is watched any more. What cannot be removed does no harm to any VM. */
  clear(): void {
    this.#isOver = true;
    clearTimeout(this.#noting);
    removeRecord(this.#host, this.#record);
    this.#claim[Symbol.dispose]();
  }
}

/** Of an earlier daemon, whose regions can be gone on with: all of them are watched, and their journals are there. */
export function canResume({ regions }: LeavingGroup): boolean {
  return regions.every(({ watched, sessionKey }) => watched !== null && existsSync(journalPath('source', sessionKey)));
}

/**
 * What a daemon has left that was killed before everything was watched: nothing had moved.
 * @returns false: it could not be, and is told
 */
export function undoBeginning(host: LeavingGroupHost, record: LeavingGroup): boolean {
  const lost = record.regions.find((region) => isLost(region));
  if (lost) {
    const facts = { group: record.name, region: lost.name, journal: journalPath('source', lost.sessionKey) };
    host.log.error(
      facts,
      'what was kept of shared memory is gone: nobody knows where its pages are, and VMs that miss one wait',
    );
    return false;
  }
  for (const { name, bytes, watched } of record.regions) {
    if (watched === null) {
      const region = host.regions.list().find((known) => known.name === name);
      for (const place of region ? placesOf(region) : []) end(host, place.vm, () => endUnknownWatch(place, bytes));
    }
    for (const { insideFd, ...vm } of (watched ?? []).map(fromStored)) {
      if (isAlive(vm)) end(host, vm.vm, () => endLeftWatch(vm, insideFd, bytes));
    }
  }
  removeRecord(host, record);
  return true;
}

function end({ log }: Pick<LeavingGroupHost, 'log'>, vm: string, endWatch: () => void): void {
  try {
    endWatch();
    log.info({ vm }, 'ended the watch on shared memory that a dead daemon had left');
  } catch (error) {
    log.warn({ vm, reason: explain(error) }, 'cannot end the watch on shared memory that a dead daemon left');
  }
}

/** Its thread had something to keep, which is there no more while VMs live that had it mapped. */
function isLost({ watched, sessionKey }: RegionRecord): boolean {
  return (watched ?? []).some(isAlive) && !existsSync(journalPath('source', sessionKey));
}

function removeRecord({ records, log }: Pick<LeavingGroupHost, 'records' | 'log'>, record: LeavingGroup): void {
  try {
    // First: a record without what the threads kept would tell of pages that nobody knows any more.
    records.remove(record.id);
    for (const { sessionKey } of record.regions) rmSync(journalPath('source', sessionKey), { force: true });
  } catch (error) {
    log.warn({ group: record.name, reason: explain(error) }, 'cannot remove what was kept of a group that has left');
  }
}

export function startedAgain(group: string): GodwitError {
  const reason = 'the daemon was started again before the first VM had moved';
  return new GodwitError('GW_CONFLICT', { kind: 'Group', name: group, reason });
}

/** As soon as one is known to have gone, or all to be here. */
export function hasAnyGone(fates: readonly Promise<{ readonly isHere: boolean }>[]): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  for (const fate of fates) void fate.then(({ isHere }) => (isHere ? undefined : resolve(true)));
  void Promise.all(fates).then(() => resolve(false));
  return promise;
}
