/**
 * Unfinished migrations after a restart of the daemon (G2, G3): each goes on in a thread of its own from where its
 * journal ends. Before the commit that means back to the source; after it, forward.
 *
 * Must hold: called before the migration port is opened, or a source that comes back would be told that nobody knows
 * its migration.
 */
import type { MigrationHandle, VmSettlement } from './handle.ts';
import { findJournals, readJournal } from './journal.ts';
import { destinationRecovery, type SourceRecovery, sourceRecovery } from './journal-facts.ts';
import type { MigrationReport } from './report.ts';
import { startDestinationThread, startSourceThread } from './threads.ts';

export interface RecoveredMigrations {
  readonly handles: readonly MigrationHandle[];
  readonly settled: readonly {
    readonly vm: string;
    readonly settlement: VmSettlement;
    readonly report: MigrationReport;
  }[];
}

export async function recoverMigrations(options: { readonly stateDirectory: string }): Promise<RecoveredMigrations> {
  const handles: MigrationHandle[] = [];
  for (const found of findJournals(options.stateDirectory)) {
    const lines = readJournal(found.path);
    if (found.direction === 'incoming') {
      const recovery = destinationRecovery(lines);
      if (recovery) handles.push(startDestinationThread({ facts: recovery.facts, fd: null, recovery }));
      continue;
    }
    const recovery = sourceRecovery(lines);
    if (recovery) handles.push(resumeSource(options.stateDirectory, recovery));
  }
  return { handles, settled: [] };
}

function resumeSource(stateDirectory: string, recovery: SourceRecovery): MigrationHandle {
  const { id, vm, to, options, hostName, startedAt } = recovery.facts;
  return startSourceThread({ id, vm, to, options, hostName, startedAt, stateDirectory, recovery });
}
