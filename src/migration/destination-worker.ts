/**
 * The thread of an incoming migration. The listener has read the opening message; its answer comes from here.
 */
import { availableParallelism } from 'node:os';
import { asGodwitError } from '../base/errors.ts';
import { StreamConnection } from '../transfer/stream-connection.ts';
import { chooseChannels } from './channel-choice.ts';
import { dieAfterThreads, endThreads, keepThreads } from './child-threads.ts';
import { DestinationMigration } from './destination.ts';
import type { DestinationFacts, HeldInput } from './destination-facts.ts';
import { Journal, journalPath } from './journal.ts';
import type { DestinationRecovery } from './journal-facts.ts';
import { rehearse } from './rehearsal.ts';
import { takeInput } from './thread-input.ts';
import { obeyOrders, REHEARSAL, WORKER_PORT } from './worker-port.ts';

export interface DestinationWorkerInput {
  readonly facts: DestinationFacts;
  /** Descriptor of the main connection, this thread's from now on; null after a restart. */
  readonly fd: number | null;
  readonly recovery: DestinationRecovery | null;
  /** Where to look for what the source need not send; absent after a restart: pages have come already. */
  readonly held?: HeldInput;
}

dieAfterThreads();
if (REHEARSAL !== null) keepThreads('arrival-worker', chooseChannels({ asked: 0, cpus: availableParallelism() }));
const unrehearsed = REHEARSAL === null ? undefined : await rehearse(REHEARSAL);
const { facts, fd, recovery, held } = await takeInput<DestinationWorkerInput>(endThreads);
if (unrehearsed) WORKER_PORT.emit({ kind: 'noted', level: 'warn', text: unrehearsed });
const path = journalPath(facts.stateDirectory, facts.offer.migrationId, 'incoming');
const journal = recovery ? Journal.reopen(path) : Journal.create(path);
const migration = new DestinationMigration(facts, journal, WORKER_PORT, held);
const stopObeying = obeyOrders({
  command: (command) => migration.command(command),
  connection(purpose, joinedFd, peer) {
    const connection = StreamConnection.fromFd(joinedFd, { peer, peerRole: 'source', preface: 'seen' });
    migration.standing.promise
      .then(() => migration.join(purpose, connection, () => connection.detach()))
      .catch((error: unknown) => connection.destroy(asGodwitError(error)));
  },
});
try {
  if (recovery) await migration.recover(recovery);
  else await migration.run(StreamConnection.fromFd(fd!, { peer: facts.peer, peerRole: 'source', preface: 'seen' }));
} finally {
  await endThreads();
  stopObeying();
}
