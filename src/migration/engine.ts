/**
 * The engine as the daemon uses it: start a migration, let others come, look at what a restart left.
 *
 * Owns: nothing but the composition: threads.ts starts the threads, listener.ts hears the peers.
 */
import { randomUUID } from 'node:crypto';
import { GodwitError } from '../base/errors.ts';
import { availableDigestSchemes } from '../memory/digest.ts';
import { toWireError } from '../wire/message-fields.ts';
import type { Message } from '../wire/messages.ts';
import { endThreads } from './child-threads.ts';
import { EndedDestinations } from './ended-destination.ts';
import { fleetFeature } from './fingerprint-keys.ts';
import { explainBlockers, findFit, memoryOf, placeOf } from './fit.ts';
import type { HostTraffic, IncomingPolicy, MigrationHandle, MigrationListener, OutgoingInput } from './handle.ts';
import { listen, type Screening } from './listener.ts';
import { findJournalOf, findThread } from './sessions.ts';
import { endSpareThreads, keepSpareThread, rehearseIn } from './spare-threads.ts';
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
  readonly policy: IncomingPolicy;
}): Promise<MigrationListener> {
  const { policy } = options;
  const { contents } = policy;
  const ended = new EndedDestinations(policy.hostName);
  rehearseIn(policy.stateDirectory);
  const listener = await listen({
    host: options.host,
    port: options.port,
    hostName: policy.hostName,
    dscp: options.traffic.dscp,
    screen: (offer, peer) => screen(policy, offer, peer),
    features: contents.fleetKey === null ? [] : [fleetFeature(contents.fleetKey)],
    onOffer(offer, fd, peer, features) {
      const { hostName, stateDirectory, allowedNetworkScripts } = policy;
      const facts = { offer, peer, stateDirectory, allowedNetworkScripts, hostName, startedAt: Date.now() };
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
  for (const module of MIGRATION_THREADS) keepSpareThread(module);
  return {
    ...listener,
    close: async () => {
      await Promise.all([endSpareThreads(), endThreads()]);
      await listener.close();
    },
  };
}

/** Whether the VM of an offer may come: it must fit, and the daemon must let it in. Of a mere check nothing is left. */
async function screen(policy: IncomingPolicy, offer: Message<'offer'>, peer: string): Promise<Screening> {
  const { hostName } = policy;
  const { vm, checkOnly } = offer;
  const refuse = (reason: string): Screening => {
    const error = new GodwitError('GW_MIGRATION_REFUSED', { host: hostName, vm: vm.name, reason });
    return { kind: 'answer', message: { kind: 'refused', error: toWireError(error) } };
  };
  const fit = await findFit(vm, placeOf(offer, policy));
  if (fit.blockers.length > 0) return refuse(explainBlockers(fit.blockers));
  const { createdAt } = vm.facts;
  const admission = policy.admit({
    migrationId: offer.migrationId,
    vm: vm.name,
    uuid: vm.uuid ?? randomUUID(),
    epoch: offer.epoch,
    ...(typeof createdAt === 'number' ? { createdAt } : {}),
    memoryBytes: memoryOf(vm),
    from: offer.sourceHost || peer,
    checkOnly,
  });
  if (admission.kind === 'refused') return refuse(admission.reason);
  if (admission.kind === 'notYet') {
    return { kind: 'later', message: { kind: 'notReady', reason: admission.reason } };
  }
  if (!checkOnly) return { kind: 'goesOn' };
  const notes = [...fit.notes, ...admission.notes];
  return { kind: 'answer', message: { kind: 'ready', host: hostName, digestSchemes: availableDigestSchemes(), notes } };
}
