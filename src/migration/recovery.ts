/**
 * Unfinished migrations after a restart of the daemon (G2, G3): each goes on in a thread of its own from where its
 * journal ends. Before the commit that means back to the source; after it, forward.
 *
 * Must hold: called before the migration port is opened, or a source that comes back would be told that nobody knows
 * its migration, be it open or ended; of several migrations of one VM at most one has it. A journal that cannot be read
 * keeps only its own migration from going on.
 */
import { asGodwitError, type GodwitError } from '../base/errors.ts';
import type { DamagedMigration, FoundMigrations, HostTraffic, MigrationHandle } from './handle.ts';
import { NO_CONTENTS } from './held-contents.ts';
import { type FoundJournal, findJournals, type JournalLine, readJournal, readWholeLines } from './journal.ts';
import {
  arrivingRecord,
  destinationFacts,
  destinationRecovery,
  knownSourceFacts,
  type SourceRecovery,
  sourceRecovery,
  stayOf,
  type VmStay,
} from './journal-facts.ts';
import { DEFAULT_MIGRATION_OPTIONS } from './request.ts';
import { rememberJournal } from './sessions.ts';
import { comingVm, startDestinationThread, startSourceThread } from './threads.ts';

export async function recoverMigrations(options: {
  readonly stateDirectory: string;
  readonly traffic: HostTraffic;
}): Promise<FoundMigrations> {
  const journals = findJournals(options.stateDirectory).map(read);
  const handles: MigrationHandle[] = [];
  for (const { direction, path, lines, stay, damage } of journals) {
    if (direction === 'incoming') {
      const facts = destinationFacts(lines);
      if (facts) rememberJournal(facts.offer.sessionKey, path);
    }
    if (damage) continue;
    const others = journals.flatMap((other) => (other.stay && other.stay !== stay ? [other.stay] : []));
    if (direction === 'incoming') {
      const recovery = destinationRecovery(lines, others);
      if (recovery) handles.push(startDestinationThread({ facts: recovery.facts, fd: null, recovery }));
      continue;
    }
    const recovery = sourceRecovery(lines, others);
    if (recovery) handles.push(resumeSource(options, recovery));
  }
  const damaged = journals.flatMap(({ id, direction, lines, damage }) =>
    damage ? [{ id, ...vmOf(direction, lines), error: damage }] : [],
  );
  return { handles, damaged };
}

interface ReadJournal extends FoundJournal {
  /** Of one that is damaged those that are whole. */
  readonly lines: readonly JournalLine[];
  readonly stay: VmStay | undefined;
  readonly damage: GodwitError | null;
}

function read(found: FoundJournal): ReadJournal {
  try {
    const lines = readJournal(found.path);
    return { ...found, lines, stay: stayOf(lines), damage: null };
  } catch (error) {
    const lines = readWholeLines(found.path);
    return { ...found, lines, stay: stayOf(lines), damage: asGodwitError(error) };
  }
}

function vmOf(
  direction: FoundJournal['direction'],
  lines: readonly JournalLine[],
): Omit<DamagedMigration, 'id' | 'error'> {
  if (direction === 'outgoing') return { vm: knownSourceFacts(lines)?.vm.name ?? null, coming: null };
  const facts = destinationFacts(lines);
  return { vm: facts?.offer.vm.name ?? null, coming: facts ? comingVm(facts, arrivingRecord(lines)) : null };
}

function resumeSource(
  host: { readonly stateDirectory: string; readonly traffic: HostTraffic },
  recovery: SourceRecovery,
): MigrationHandle {
  const { id, vm, to, options, hostName, startedAt } = recovery.facts;
  const { stateDirectory, traffic } = host;
  // An older daemon knew fewer options.
  const facts = { id, vm, to, options: { ...DEFAULT_MIGRATION_OPTIONS, ...options }, hostName, startedAt };
  return startSourceThread({ ...facts, stateDirectory, contents: NO_CONTENTS, traffic, recovery });
}
