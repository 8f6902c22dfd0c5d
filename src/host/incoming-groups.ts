/**
 * Groups on their way to this host: their regions, which are here before the first of their VMs (R5).
 *
 * Owns: the claim on each region's file until VMs have it, and the handles of the threads that fetch its pages. Must hold: a
 * region never comes into a file that VMs of this host use already; a VM gets the regions of its own group only.
 */
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { explain, GodwitError } from '../base/errors.ts';
import type { JoinAnswer } from '../migration/listener.ts';
import type { MigrationEvent } from '../migration/progress.ts';
import type { RegionPolicy } from '../migration/region-policy.ts';
import type { OfferedSharing, SharedPaths } from '../migration/shared-part.ts';
import { RAM_DIRECTORY } from '../migration/vm-record.ts';
import type {
  RegionDestinationEvent,
  RegionDestinationHandle,
  startRegionDestination,
} from '../sharing/region-threads.ts';
import type { Message } from '../wire/messages.ts';
import type { Logger } from './logger.ts';
import { lackOfRoom } from './memory-room.ts';
import type { RegionClaim } from './region-claim.ts';
import type { VmRegistry } from './vm-registry.ts';

export interface IncomingGroupsOptions {
  readonly hostName: string;
  readonly registry: Pick<VmRegistry, 'regions'>;
  readonly log: Logger;
  readonly startRegion: typeof startRegionDestination;
}

type RegionOffer = Message<'offerRegion'>;
type WatchedEvent = Extract<MigrationEvent, { kind: 'regionsWatched' }>;

/** Anything on the file system of regions. */
const RAM_PATH = join(RAM_DIRECTORY, 'region');
/** Each has a thread of its own. */
const MAX_COMING = 16;

interface ComingRegion {
  readonly offer: RegionOffer;
  readonly claim: RegionClaim;
  readonly path: string;
  readonly handle: RegionDestinationHandle;
}

export class IncomingGroups implements RegionPolicy {
  readonly #options: IncomingGroupsOptions;
  /** By session key. */
  readonly #regions = new Map<string, ComingRegion>();

  constructor(options: IncomingGroupsOptions) {
    this.#options = options;
  }

  /** @throws GW_MIGRATION_REFUSED, GW_SYS_NO_ROOM; the descriptor is still the caller's then */
  onOffer(offer: RegionOffer, takeFd: () => number, peer: string): void {
    const { startRegion, hostName, log } = this.#options;
    const { name, bytes } = offer.region;
    const claim = this.#claim(offer);
    const [region] = claim.regions;
    try {
      const key = offer.sessionKey;
      const handle = startRegion({
        group: offer.group,
        fd: takeFd(),
        peer,
        region: { name, bytes, path: region!.path },
        hostName,
        onEvent: (event) => this.#take(key, event),
      });
      this.#regions.set(key, { offer, claim, path: region!.path, handle });
      // The VMs that have come have it by now; without any it goes.
      void handle.ended.then(() => {
        this.#regions.delete(key);
        claim[Symbol.dispose]();
      });
      log.info({ group: offer.group, region: name, bytes, from: offer.sourceHost }, 'shared memory is coming');
    } catch (error) {
      claim[Symbol.dispose]();
      throw error;
    }
  }

  /** Of a region that is on its way already. */
  onJoin({ sessionKey }: Message<'join'>, takeFd: () => number, peer: string): JoinAnswer {
    const coming = this.#regions.get(sessionKey);
    if (!coming) return 'unknown';
    coming.handle.addConnection(takeFd(), peer);
    return 'taken';
  }

  /** @throws GW_MIGRATION_REFUSED */
  sharedPathsOf(vm: string, { group, regions }: OfferedSharing): SharedPaths {
    return Object.fromEntries(
      regions.map(({ id, name }) => {
        const coming = [...this.#regions.values()].find(
          ({ offer }) => offer.group === group && offer.region.name === name && offer.vms.includes(vm),
        );
        if (coming) return [id, coming.path];
        const reason = `the shared memory ${name} of its group is not on its way here`;
        throw new GodwitError('GW_MIGRATION_REFUSED', { host: this.#options.hostName, vm, reason });
      }),
    );
  }

  /** A VM's QEMU has the regions mapped, and waits for its state. */
  async watched(vm: string, { qemu, regions, taken }: WatchedEvent): Promise<void> {
    try {
      const attached = regions.map(({ path, hostAddress, insideFd }) => {
        const coming = [...this.#regions.values()].find((region) => region.path === path);
        if (!coming) throw new GodwitError('GW_INTERNAL', { reason: `no shared memory is coming to ${path}` });
        return coming.handle.attach({ vm, ...qemu, hostAddress, insideFd });
      });
      await Promise.all(attached);
      Atomics.store(taken, 0, 1);
      Atomics.notify(taken, 0);
    } catch (error) {
      // Its migration hears nothing and gives up.
      this.#options.log.error({ vm, reason: explain(error) }, 'cannot look after shared memory');
    }
  }

  /** A VM that was to come has not. */
  notArrived(vm: string): void {
    for (const { handle, offer } of this.#regions.values()) if (offer.vms.includes(vm)) handle.detach(vm);
  }

  /** What is missing of them is fetched first, for so long at most: without this process VMs would wait for it. */
  async close(timeoutMs: number): Promise<void> {
    const over = Promise.all([...this.#regions.values()].map(({ handle }) => handle.ended));
    await Promise.race([over, delay(timeoutMs, undefined, { ref: false })]);
  }

  #claim({ region, group, sourceHost, sessionKey }: RegionOffer): RegionClaim {
    const { registry, hostName } = this.#options;
    const { name, bytes } = region;
    const refuse = (reason: string): GodwitError =>
      new GodwitError('GW_MIGRATION_REFUSED', { host: hostName, vm: `shared memory ${name}`, reason });
    const owners = registry.regions.list().find((known) => known.name === name);
    if (owners || [...this.#regions.values()].some(({ offer }) => offer.region.name === name)) {
      const company = owners ? ` (VM ${owners.members.map(({ vm }) => vm).join(', ')})` : '';
      throw refuse(`this host has shared memory of that name already${company}`);
    }
    const coming = [...this.#regions.values()];
    if (this.#regions.has(sessionKey)) throw refuse('a region with its session key is on its way here already');
    if (coming.length >= MAX_COMING) throw refuse(`${MAX_COMING} regions are on their way here already`);
    // The files of those that are coming are holes so far.
    const promisedBytes = coming.reduce((sum, { offer }) => sum + offer.region.bytes, 0);
    const lack = lackOfRoom({ ramBytes: 0, sharedBytes: bytes, ramPath: RAM_PATH, promisedBytes }, hostName);
    if (lack) throw lack;
    return registry.regions.claim(`group ${group.slice(0, 8)} from ${sourceHost}`, [{ name, sizeBytes: bytes }]);
  }

  #take(key: string, event: RegionDestinationEvent): void {
    const { log } = this.#options;
    const coming = this.#regions.get(key);
    if (!coming) return;
    const { group, region } = coming.offer;
    switch (event.kind) {
      case 'linkLost':
        log.warn({ group, region: region.name, reason: event.reason }, 'the connection of shared memory is lost');
        return;
      case 'linkBack':
        log.info({ group, region: region.name }, 'the connection of shared memory is back');
        return;
      case 'noted':
        log.warn({ group, region: region.name }, event.text);
        return;
      case 'failed':
        log.error({ group, region: region.name, reason: event.error.message }, 'shared memory does not come');
        return;
      case 'completed': {
        const { faults, tally, received, wireBytes } = event.report;
        log.info({ group, region: region.name, faults, tally, received, wireBytes }, 'shared memory is all here');
        return;
      }
      default:
        log.info({ group, region: region.name }, `shared memory: ${event.kind}`);
    }
  }
}
