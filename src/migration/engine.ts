/**
 * The engine as the daemon uses it: start a migration, let others come, look at what a restart left.
 *
 * Owns: nothing but the composition: threads.ts starts the threads, listener.ts hears the peers.
 */
import { endThreads } from './child-threads.ts';
import { EndedDestinations } from './ended-destination.ts';
import { fleetFeature } from './fingerprint-keys.ts';
import type { HostTraffic, IncomingPolicy, MigrationHandle, MigrationListener, OutgoingInput } from './handle.ts';
import { listen } from './listener.ts';
import { OfferScreening, removeLeftChecks } from './offer-screening.ts';
import { findJournalOf, findThread } from './sessions.ts';
import { readSharing } from './shared-part.ts';
import { AFTER_START_MS, endSpareThreads, keepSpareThread, keepSpareThreadsIn } from './spare-threads.ts';
import { startDestinationThread, startSourceThread } from './threads.ts';

const MIGRATION_THREADS: readonly string[] = ['source-worker', 'destination-worker'];

export { checkMigration } from './check.ts';
export { recoverMigrations } from './recovery.ts';

export function startOutgoing(input: OutgoingInput): MigrationHandle {
  return startSourceThread({ ...input, startedAt: Date.now(), recovery: null });
}

/** @throws GW_HOST_START when the port cannot be had */
export async function listenForMigrations(options: {
  readonly host: string;
  readonly port: number;
  readonly traffic: HostTraffic;
  /** Threads for the next migration are kept ready. */
  readonly keepsSpareThreads: boolean;
  readonly policy: IncomingPolicy;
}): Promise<MigrationListener> {
  const { policy } = options;
  const { contents } = policy;
  const ended = new EndedDestinations(policy.hostName);
  const screening = new OfferScreening(policy);
  await removeLeftChecks(policy.stateDirectory);
  if (options.keepsSpareThreads) keepSpareThreadsIn(policy.stateDirectory);
  const listener = await listen({
    host: options.host,
    port: options.port,
    hostName: policy.hostName,
    dscp: options.traffic.dscp,
    tls: options.traffic.tls,
    screen: (offer, peer, signal) => screening.screen(offer, peer, signal),
    regions: policy.regions,
    features: contents.fleetKey === null ? [] : [fleetFeature(contents.fleetKey)],
    onOffer(offer, fd, peer, features) {
      const { hostName, stateDirectory, allowedNetworkScripts, images } = policy;
      const sharing = readSharing(offer.vm);
      const facts = {
        ...{ offer, peer, stateDirectory, allowedNetworkScripts, images, hostName, startedAt: Date.now() },
        ...(sharing ? { sharedPaths: policy.sharedPathsOf(offer.vm.name, sharing) } : {}),
      };
      policy.onIncoming(startDestinationThread({ facts, fd, recovery: null, held: { policy: contents, features } }));
    },
    onJoin(join, takeFd, peer) {
      const { sessionKey, purpose } = join;
      const thread = findThread(sessionKey);
      if (thread) {
        thread.addConnection(purpose, takeFd(), peer);
        return 'taken';
      }
      const journal = findJournalOf(sessionKey);
      return journal === undefined ? 'unknown' : ended.join(journal, purpose, takeFd, peer);
    },
  });
  for (const module of MIGRATION_THREADS) keepSpareThread(module, AFTER_START_MS);
  return {
    ...listener,
    close: async () => {
      await Promise.all([screening.close(), endSpareThreads(), endThreads()]);
      await listener.close();
    },
  };
}
