/**
 * What a journal holds besides the handover's records, and how a migration is found again from both.
 *
 * Must hold: a migration that only owes the other host a word has no say over the VM any more: the VM is its user's, or
 * another migration's, whose QEMU it must not touch.
 */
import type { MigrationSettings } from '../qemu/migration-settings.ts';
import type { KnownImage } from '../storage/known-image.ts';
import type { DestinationFacts } from './destination-facts.ts';
import type { DestinationRecord, SourceRecord } from './handover.ts';
import { recoverDestination } from './handover-destination-recovery.ts';
import type { DestinationState } from './handover-destination-state.ts';
import type { JournalLine } from './journal.ts';
import type { KnownRegion } from './known-ram.ts';
import type { SourceFacts } from './source-facts.ts';
import type { VmRecord } from './vm-record.ts';

export interface SourceRecovery {
  readonly facts: SourceFacts;
  /** See `MigrationHandle.hasVm`. */
  readonly hasVm: boolean;
  readonly records: readonly SourceRecord[];
  /** What was borrowed of QEMU's settings, as it was found; null: nothing, or the journal is older than this fact. */
  readonly settings: MigrationSettings | null;
}

/** What the destination made before the crash. */
export interface DestinationRecovery {
  readonly facts: DestinationFacts;
  /** See `MigrationHandle.hasVm`. */
  readonly hasVm: boolean;
  readonly records: readonly DestinationRecord[];
  /** null: QEMU was not there yet. */
  readonly vm: VmRecord | null;
  /** Number of the userfaultfd inside QEMU; null when no page was missing. */
  readonly insideFd: number | null;
  /** What is borrowed of QEMU's settings, as it was found; null: nothing any more, or the journal is older. */
  readonly settings: MigrationSettings | null;
  /** Where the VM's RAM is. */
  readonly ram: readonly KnownRegion[];
  /** Made for the VM, to be filled. */
  readonly images: readonly KnownImage[];
  /** The daemon knows where the VM is, and talks to its QEMU if it is here. */
  readonly isSettled: boolean;
}

/**
 * undefined: nothing is open.
 * @param others - what this host's other journals say of its VMs
 */
export function sourceRecovery(
  lines: readonly JournalLine[],
  others: readonly VmStay[] = [],
): SourceRecovery | undefined {
  const records = lines.filter((line): line is SourceRecord => line.side === 'source');
  const facts = knownSourceFacts(lines);
  if (!facts || records.length === 0 || records.at(-1)!.kind === 'ended') return undefined;
  const { uuid, epoch } = facts.vm;
  const isLater = (stay: VmStay): boolean =>
    stay.epoch > epoch || (stay.epoch === epoch && stay.movesOn && stay.startedAt > facts.startedAt);
  // It has come back since, or its user has moved it again: it was his by then.
  const wentOn = others.some((stay) => stay.uuid === uuid && isLater(stay));
  const copiedImages = knownFacts(lines)['copiedImages'] as KnownImage[] | undefined;
  const all = copiedImages ? { ...facts, copiedImages } : facts;
  return { facts: all, records, hasVm: !wentOn && !isTakenBack({ records }), settings: knownSettings(lines) };
}

/** The VM runs at the source again, whether or not the destination has heard of it. */
export function isTakenBack({ records }: Pick<SourceRecovery, 'records'>): boolean {
  return records.at(-1)?.kind === 'rolledBack';
}

/**
 * undefined: nothing is open.
 * @param others - what this host's other journals say of its VMs
 */
export function destinationRecovery(
  lines: readonly JournalLine[],
  others: readonly VmStay[] = [],
): DestinationRecovery | undefined {
  const records = destinationRecords(lines);
  const known = knownFacts(lines);
  const facts = destinationFacts(lines);
  if (!facts || records.length === 0 || records.at(-1)!.kind === 'ended') return undefined;
  const vm = arrivingRecord(lines);
  // Once every page is here the VM may be moved on, whether or not the source has answered.
  const movedOn = others.some((stay) => stay.uuid === vm?.uuid && stay.epoch >= vm.epoch && stay.movesOn);
  return {
    facts,
    records,
    hasVm: !movedOn,
    vm,
    insideFd: (known['insideFd'] as number | undefined) ?? null,
    settings: knownSettings(lines),
    ram: (known['ram'] as KnownRegion[] | undefined) ?? [],
    images: (known['images'] as KnownImage[] | undefined) ?? [],
    isSettled: false,
  };
}

/** What an outgoing migration is about; undefined when its journal was hardly begun. */
export function knownSourceFacts(lines: readonly JournalLine[]): SourceFacts | undefined {
  return lines.find((line) => line.side === 'facts') as (SourceFacts & { side: 'facts' }) | undefined;
}

/** How an incoming migration has ended; undefined while it is open. */
export function lastDestinationState(lines: readonly JournalLine[]): DestinationState | undefined {
  const records = destinationRecords(lines);
  return records.at(-1)?.kind === 'ended' ? recoverDestination(records)?.state : undefined;
}

/** What an incoming migration is about; undefined when its journal was hardly begun. */
export function destinationFacts(lines: readonly JournalLine[]): DestinationFacts | undefined {
  return knownFacts(lines)['facts'] as DestinationFacts | undefined;
}

/** The VM of an incoming migration; null: its QEMU was not there yet. */
export function arrivingRecord(lines: readonly JournalLine[]): VmRecord | null {
  return (knownFacts(lines)['record'] as VmRecord | undefined) ?? null;
}

/** A VM that is or was at this host, as one of its migrations knew it. */
export interface VmStay {
  readonly uuid: string;
  readonly epoch: number;
  /** A migration away from here began. */
  readonly movesOn: boolean;
  /** When it was asked for, Unix milliseconds; 0 where the VM only came. */
  readonly startedAt: number;
}

/** What a journal says of the VM's being here; undefined when it never was. */
export function stayOf(lines: readonly JournalLine[]): VmStay | undefined {
  const known = knownFacts(lines);
  const moving = known['vm'] as VmRecord | undefined;
  if (moving) {
    const startedAt = Number(known['startedAt'] ?? 0);
    return { uuid: moving.uuid, epoch: moving.epoch, movesOn: true, startedAt };
  }
  const arrived = arrivingRecord(lines);
  if (!arrived || !lines.some((line) => line.side === 'destination' && line.kind === 'owner')) return undefined;
  return { uuid: arrived.uuid, epoch: arrived.epoch, movesOn: false, startedAt: 0 };
}

function destinationRecords(lines: readonly JournalLine[]): DestinationRecord[] {
  return lines.filter((line): line is DestinationRecord => line.side === 'destination');
}

function knownSettings(lines: readonly JournalLine[]): MigrationSettings | null {
  return (knownFacts(lines)['settings'] as MigrationSettings | null | undefined) ?? null;
}

/** All facts together; of what was written twice the last. */
function knownFacts(lines: readonly JournalLine[]): Readonly<Record<string, unknown>> {
  return Object.assign({}, ...lines.filter((line) => line.side === 'facts'));
}
