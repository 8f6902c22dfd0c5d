/**
 * Groups on their way to this host: their regions, which are here before the first of their VMs (R5).
 *
 * Owns: the claim on each region's file until VMs have it, and the handles of the threads that fetch its pages. Must hold: a
 * region never comes into a file that VMs of this host use already; a VM gets the regions of its own group only.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { explain, GodwitError } from '../base/errors.ts';
import { isAlive } from '../linux/process.ts';
import type { JoinAnswer } from '../migration/listener.ts';
import type { MigrationEvent } from '../migration/progress.ts';
import type { RegionPolicy } from '../migration/region-policy.ts';
import { type OfferedSharing, RegionsTaken, type SharedPaths } from '../migration/shared-part.ts';
import type {
  LeftVm,
  RegionDestinationEvent,
  RegionDestinationHandle,
  startRegionDestination,
} from '../sharing/region-threads.ts';
import type { Message } from '../wire/messages.ts';
import { ArrivedRegions } from './arrived-regions.ts';
import { claimComing, nameOf } from './coming-claim.ts';
import { logComing } from './coming-log.ts';
import { ComingRecords, type ComingRegionView, viewOfComing } from './coming-records.ts';
import { type ComingRegionRecord, fromStored, journalPath, toStored } from './group-records.ts';
import type { Logger } from './logger.ts';
import type { RegionClaim } from './region-claim.ts';
import type { VmRegistry } from './vm-registry.ts';

export interface IncomingGroupsOptions {
  readonly stateDirectory: string;
  readonly hostName: string;
  readonly registry: Pick<VmRegistry, 'regions'>;
  readonly log: Logger;
  readonly startRegion: typeof startRegionDestination;
}

type RegionOffer = Message<'offerRegion'>;
type WatchedEvent = Extract<MigrationEvent, { kind: 'regionsWatched' }>;

/** A thread ends with its turn, unless it waits for the kernel. */
const ABANDON_MS = 1000;

interface ComingRegion {
  /** As it is written down. */
  record: ComingRegionRecord;
  readonly claim: RegionClaim;
  readonly path: string;
  readonly handle: RegionDestinationHandle;
  /** Nothing is watched any more; of one whose thread ends otherwise the next daemon goes on. */
  isOver: boolean;
}

export class IncomingGroups implements RegionPolicy {
  readonly #options: IncomingGroupsOptions;
  readonly #records: ComingRecords;
  readonly #arrived: ArrivedRegions;
  /** By session key. */
  readonly #regions = new Map<string, ComingRegion>();

  constructor(options: IncomingGroupsOptions) {
    this.#options = options;
    this.#records = new ComingRecords(options.stateDirectory, options.log);
    this.#arrived = new ArrivedRegions(options.stateDirectory, options.log);
  }

  /** Names of regions whose files must stay, whoever has them: those that came to an earlier daemon. */
  get heldRegions(): string[] {
    return this.#records.heldRegions;
  }

  /** Those of which pages may be missing. */
  coming(): ComingRegionView[] {
    return [...this.#regions.values()].flatMap(({ isOver, record }) => (isOver ? [] : viewOfComing(record)));
  }

  /** Goes on with what came to an earlier daemon, before anything else is done with the VMs that wait for it. */
  resume(): void {
    const { registry, log } = this.#options;
    for (const record of this.#records.takeLeft()) {
      const { region, group } = record;
      try {
        const claim = registry.regions.claim(
          nameOf(record),
          [{ name: region.name, sizeBytes: region.bytes }],
          'moving',
        );
        if (this.#records.canResume(record)) {
          this.#start(record, claim, null, '', record.attached.map(fromStored).filter(isAlive));
          log.info({ group, region: region.name }, 'shared memory is coming still');
        } else {
          this.#records.forget(record, claim);
        }
      } catch (error) {
        const facts = { group, region: region.name, reason: explain(error) };
        log.error(facts, 'cannot go on with shared memory that was coming');
      }
    }
  }

  /** @throws GW_REGION_REFUSED, GW_SYS_NO_ROOM; the descriptor is still the caller's then */
  async onOffer(offer: RegionOffer, takeFd: () => number, peer: string, signal: AbortSignal): Promise<void> {
    await this.#endFinished(offer.region.name);
    signal.throwIfAborted();
    const { group, sessionKey, sourceHost, region, vms } = offer;
    const record = { group, sessionKey, sourceHost, region, vms: [...vms], attached: [] };
    const coming = [...this.#regions.values()].map((each) => each.record);
    const claim = claimComing(this.#options, coming, offer);
    try {
      this.#records.save(record);
      this.#start(record, claim, takeFd(), peer, null);
    } catch (error) {
      this.#records.forget(record, claim);
      throw error;
    }
    const facts = { group, region: region.name, bytes: region.bytes, from: sourceHost };
    this.#options.log.info(facts, 'shared memory is coming');
  }

  /** Of a region that is on its way already. */
  onJoin({ sessionKey }: Message<'join'>, takeFd: () => number, peer: string): JoinAnswer {
    const coming = this.#regions.get(sessionKey);
    if (!coming) return this.#arrived.has(sessionKey) ? 'over' : 'unknown';
    coming.handle.addConnection(takeFd(), peer);
    return 'taken';
  }

  /** @throws GW_MIGRATION_REFUSED */
  sharedPathsOf(vm: string, { group, regions }: OfferedSharing): SharedPaths {
    return Object.fromEntries(
      regions.map(({ id, name }) => {
        const coming = [...this.#regions.values()].find(
          ({ record }) => record.group === group && record.region.name === name && record.vms.includes(vm),
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
        return this.#attach(coming, { vm, ...qemu, hostAddress, insideFd });
      });
      await Promise.all(attached);
      Atomics.store(taken, 0, RegionsTaken.yes);
    } catch (error) {
      Atomics.store(taken, 0, RegionsTaken.no);
      this.#options.log.error({ vm, reason: explain(error) }, 'cannot look after shared memory');
    }
    Atomics.notify(taken, 0);
  }

  /** It is written down first: should this daemon be killed, the VM is watched by the next one. */
  async #attach(coming: ComingRegion, vm: LeftVm): Promise<void> {
    coming.record = this.#records.attach(coming.record, toStored(vm));
    await coming.handle.attach(vm);
  }

  /** A VM that was to come has not. */
  notArrived(vm: string): void {
    this.#options.registry.regions.removeLeft();
    for (const { handle, record } of this.#regions.values()) if (record.vms.includes(vm)) handle.detach(vm);
  }

  /** Of how many it is not known that nothing of them runs any more. */
  get openCount(): number {
    return this.#regions.size;
  }

  /**
   * What is missing of those whose VMs have all come is fetched first, for so long at most: without this process they would wait for
   * it. Of a divided group nobody knows when its other VMs come, and the next daemon goes on.
   */
  async close(timeoutMs: number): Promise<void> {
    const present = this.#options.registry.regions.list();
    const coming = [...this.#regions.values()].filter(({ isOver, record: { region, vms } }) => {
      const members = present.find(({ name }) => name === region.name)?.members ?? [];
      return !isOver && vms.every((vm) => members.some((member) => member.vm === vm));
    });
    const over = Promise.all(coming.map(({ handle }) => handle.ended));
    await Promise.race([over, delay(timeoutMs, undefined, { ref: false })]);
  }

  /** After `close`, and when no migration brings a VM any more. */
  async abandon(): Promise<void> {
    const ends = [...this.#regions.values()].map(({ handle }) => handle.abandon());
    await Promise.race([Promise.allSettled(ends), delay(ABANDON_MS, undefined, { ref: false })]);
  }

  /** One that is all here waits only for its source's last word, which a cut can have taken; its VMs may be gone again. */
  async #endFinished(name: string): Promise<void> {
    if (this.#options.registry.regions.list().some((known) => known.name === name)) return;
    const finished = [...this.#regions.values()].filter(({ isOver, record }) => isOver && record.region.name === name);
    await Promise.all(finished.map(({ handle }) => handle.cancel()));
  }

  /** @param fd - null: of one that came to an earlier daemon. @param resumes - the VMs that had it then */
  #start(
    record: ComingRegionRecord,
    claim: RegionClaim,
    fd: number | null,
    peer: string,
    resumes: readonly LeftVm[] | null,
  ): void {
    const { startRegion, hostName } = this.#options;
    const { group, region, sessionKey } = record;
    const { path } = claim.regions[0]!;
    const handle = startRegion({
      group,
      fd,
      peer,
      region: { ...region, path },
      hostName,
      journal: journalPath('destination', sessionKey),
      resumes,
      onEvent: (event) => this.#take(sessionKey, event),
    });
    const coming: ComingRegion = { record, claim, path, handle, isOver: false };
    this.#regions.set(sessionKey, coming);
    // The VMs that have come have it by now; without any it goes.
    void handle.ended.then(() => {
      this.#regions.delete(sessionKey);
      // Without a VM that has it nothing can have come.
      if (coming.isOver || coming.record.attached.length === 0) this.#records.forget(record, claim);
    });
  }

  #take(key: string, event: RegionDestinationEvent): void {
    const coming = this.#regions.get(key);
    if (!coming) return;
    coming.isOver ||= event.kind === 'completed' || event.kind === 'cancelled';
    if (event.kind === 'completed') {
      this.#arrived.note(key);
      coming.claim.moved();
    }
    const { group, region } = coming.record;
    logComing(this.#options.log, { group, region: region.name }, event);
  }
}
