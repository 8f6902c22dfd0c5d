/**
 * The report of an outgoing migration whose daemon died and left none: as far as its journal tells.
 *
 * Pure. Must hold: the VM is the destination's if, and only if, the journal says `committed`.
 */
import type { ErrorBody } from '../base/errors.ts';
import { reportedOutcome, type SourceRecord } from './handover.ts';
import type { JournalLine } from './journal.ts';
import { knownSourceFacts } from './journal-facts.ts';
import type { MigrationReport } from './report.ts';

/**
 * undefined: it is open, and whoever recovers it reports.
 * @param begun - what there is to say of it without a journal
 */
export function leftReport(begun: MigrationReport, lines: readonly JournalLine[]): MigrationReport | undefined {
  const records = lines.filter((line): line is SourceRecord => line.side === 'source');
  const last = records.at(-1);
  if (last === undefined) return begun;
  if (last.kind !== 'ended') return undefined;
  const reason = records.findLast((record) => record.kind === 'rolledBack' || record.kind === 'lost')?.error;
  const error: ErrorBody | null = last.outcome === 'completed' ? null : (reason ?? begun.error);
  const wasGiven = records.some((record) => record.kind === 'committed');
  const destination = knownSourceFacts(lines)?.destinationName ?? begun.to;
  const outcome = reportedOutcome(last.outcome, error);
  return { ...begun, outcome, error, owner: wasGiven ? destination : begun.from };
}
