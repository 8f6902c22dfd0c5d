/**
 * What one migration at the destination is about, and whom it tells.
 *
 * Owns: the facts that the journal keeps beside the handover's records. Must hold: nothing in here changes during the
 * migration.
 */
import { join } from 'node:path';
import type { Message } from '../wire/messages.ts';
import type { ImagesDirectory } from './disk-fit.ts';
import type { VmSettlement } from './handle.ts';
import type { ContentPolicy } from './held-contents.ts';
import type { MigrationEvent } from './progress.ts';
import type { SharedPaths } from './shared-part.ts';

/** The daemon's main thread. */
export interface DestinationPort {
  emit(event: MigrationEvent): void;
  settle(settlement: VmSettlement): void;
}

export interface DestinationFacts {
  readonly offer: Message<'offer'>;
  readonly peer: string;
  readonly stateDirectory: string;
  readonly allowedNetworkScripts: readonly string[];
  readonly images: ImagesDirectory;
  readonly hostName: string;
  readonly startedAt: number;
  /** Of the regions that the VM shares with others; absent: it shares none. */
  readonly sharedPaths?: SharedPaths;
}

/** Not among the facts: a fleet's key is none of the journal's business. */
export interface HeldInput {
  readonly policy: ContentPolicy;
  /** Of the protocol, that both hosts have. */
  readonly features: readonly string[];
}

/** The list of missing pages. */
export function missingFilePath({ stateDirectory, offer }: DestinationFacts): string {
  return join(stateDirectory, 'migrations', offer.migrationId, 'missing');
}
