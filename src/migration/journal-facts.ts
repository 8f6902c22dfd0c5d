/**
 * What a journal holds besides the handover's records, and how a migration is found again from both.
 */
import type { DestinationFacts } from './destination-facts.ts';
import type { DestinationRecord, SourceRecord } from './handover.ts';
import type { JournalLine } from './journal.ts';
import type { SourceFacts } from './source-facts.ts';
import type { VmRecord } from './vm-record.ts';

export interface SourceRecovery {
  readonly facts: SourceFacts;
  readonly records: readonly SourceRecord[];
}

/** What the destination made before the crash. */
export interface DestinationRecovery {
  readonly facts: DestinationFacts;
  readonly records: readonly DestinationRecord[];
  /** null: QEMU was not there yet. */
  readonly vm: VmRecord | null;
  /** Number of the userfaultfd inside QEMU; null when no page was missing. */
  readonly insideFd: number | null;
}

/** undefined: nothing is open. */
export function sourceRecovery(lines: readonly JournalLine[]): SourceRecovery | undefined {
  const records = lines.filter((line): line is SourceRecord => line.side === 'source');
  const facts = lines.find((line) => line.side === 'facts') as (SourceFacts & { side: 'facts' }) | undefined;
  if (!facts || records.length === 0 || records.at(-1)!.kind === 'ended') return undefined;
  return { facts, records };
}

/** undefined: nothing is open. */
export function destinationRecovery(lines: readonly JournalLine[]): DestinationRecovery | undefined {
  const records = lines.filter((line): line is DestinationRecord => line.side === 'destination');
  if (records.length === 0 || records.at(-1)!.kind === 'ended') return undefined;
  const known: Record<string, unknown> = Object.assign({}, ...lines.filter((line) => line.side === 'facts'));
  const facts = known['facts'] as DestinationFacts | undefined;
  if (!facts) return undefined;
  return {
    facts,
    records,
    vm: (known['record'] as VmRecord | undefined) ?? null,
    insideFd: (known['insideFd'] as number | undefined) ?? null,
  };
}
