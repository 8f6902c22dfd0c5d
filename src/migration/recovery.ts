/**
 * Unfinished migrations after a restart of the daemon (G2, G3): each goes on in a thread of its own from where its
 * journal ends. Before the commit that means back to the source; after it, forward.
 *
 * Must hold: called before the migration port is opened, or a source that comes back would be told that nobody knows
 * its migration, be it open or ended; of several migrations of one VM at most one has it.
 */
import type { HostTraffic, MigrationHandle } from './handle.ts';
import { NO_CONTENTS } from './held-contents.ts';
import { findJournals, readJournal } from './journal.ts';
import { destinationFacts, destinationRecovery, type SourceRecovery, sourceRecovery, stayOf } from './journal-facts.ts';
import { rememberJournal } from './sessions.ts';
import { startDestinationThread, startSourceThread } from './threads.ts';

export async function recoverMigrations(options: {
  readonly stateDirectory: string;
  readonly traffic: HostTraffic;
}): Promise<readonly MigrationHandle[]> {
  const journals = findJournals(options.stateDirectory).map((found) => {
    const lines = readJournal(found.path);
    return { ...found, lines, stay: stayOf(lines) };
  });
  const handles: MigrationHandle[] = [];
  for (const { direction, path, lines, stay } of journals) {
    const others = journals.flatMap((other) => (other.stay && other.stay !== stay ? [other.stay] : []));
    if (direction === 'incoming') {
      const facts = destinationFacts(lines);
      if (facts) rememberJournal(facts.offer.sessionKey, path);
      const recovery = destinationRecovery(lines, others);
      if (recovery) handles.push(startDestinationThread({ facts: recovery.facts, fd: null, recovery }));
      continue;
    }
    const recovery = sourceRecovery(lines, others);
    if (recovery) handles.push(resumeSource(options, recovery));
  }
  return handles;
}

function resumeSource(
  host: { readonly stateDirectory: string; readonly traffic: HostTraffic },
  recovery: SourceRecovery,
): MigrationHandle {
  const { id, vm, to, options, hostName, startedAt } = recovery.facts;
  const { stateDirectory, traffic } = host;
  const facts = { id, vm, to, options, hostName, startedAt };
  return startSourceThread({ ...facts, stateDirectory, contents: NO_CONTENTS, traffic, recovery });
}
