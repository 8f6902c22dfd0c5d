/**
 * Whether the VM of an offer may come: it must fit, and the daemon must let it in. A mere check goes as far as a
 * migration does before its first page: the VM's QEMU is started, compared and ended.
 *
 * Owns: the QEMUs of checks and their directories. Must hold: one check at a time, in a bounded time; whatever comes of
 * it, and whoever goes away meanwhile, nothing of it stays. What a dead daemon has left of one is removed.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { GodwitError } from '../base/errors.ts';
import { readNics } from '../network/nic.ts';
import type { Message } from '../wire/messages.ts';
import { explainBlockers } from './blocked.ts';
import { createDestinationGuest } from './destination-guest-creation.ts';
import { readyMessage } from './destination-words.ts';
import { answersOf, fitDisks } from './disk-fit.ts';
import { type DestinationPlace, type Fit, findBinaryFit, findFit, memoryOf, placeOf } from './fit.ts';
import type { Admission, IncomingPolicy } from './handle.ts';
import { removeIfEmpty, removeLeftInstance } from './left-instance.ts';
import type { Screening } from './listener.ts';
import { readSharing } from './shared-part.ts';
import { vmPaths } from './vm-record.ts';

type Offer = Message<'offer'>;

/** A QEMU that starts at all does so within 30 s; the source waits a little longer for the answer. */
export const CHECK_LIMIT_MS = 40_000;

/** As long as those of other instances, so that paths are; and none of them, which are hexadecimal. */
const CHECK_INSTANCE = /^q[0-9a-f]{7}$/;

export class OfferScreening {
  readonly #policy: IncomingPolicy;
  readonly #checkLimitMs: number;
  readonly #closing = new AbortController();
  /** Resolves when the last of the checks so far is over. */
  #turn: Promise<void> = Promise.resolve();

  constructor(policy: IncomingPolicy, checkLimitMs: number = CHECK_LIMIT_MS) {
    this.#policy = policy;
    this.#checkLimitMs = checkLimitMs;
  }

  /** @throws what the source is told as its refusal, or the signal's reason when nobody waits for an answer any more */
  async screen(offer: Offer, peer: string, signal: AbortSignal): Promise<Screening> {
    if (offer.checkOnly) return await this.#inTurn(signal, (wanted) => this.#check(offer, peer, wanted));
    // Its QEMU is started next, and says itself what it cannot do.
    this.#require(offer.vm.name, await this.#fit(offer));
    const admission = this.#admit(offer, peer);
    if (admission.kind === 'admitted') return { kind: 'goesOn' };
    return { kind: 'later', message: { kind: 'notReady', reason: admission.reason } };
  }

  /** Breaks off what checks there are; resolves when nothing is left of them. */
  async close(): Promise<void> {
    this.#closing.abort(new GodwitError('GW_HOST_STOPPING', { host: this.#policy.hostName }));
    await this.#turn;
  }

  async #check(offer: Offer, peer: string, signal: AbortSignal): Promise<Screening> {
    const { hostName } = this.#policy;
    const fits = [await this.#fit(offer), await findBinaryFit(offer.vm)];
    const [blockers, noted] = [fits.flatMap((fit) => fit.blockers), fits.flatMap((fit) => fit.notes)];
    const notes = new Set(this.#require(offer.vm.name, { blockers, notes: noted }));
    const admission = this.#admit(offer, peer);
    if (admission.kind === 'notYet') {
      notes.add(`it would have to wait: ${admission.reason}`);
      notes.add('until then it is not known whether its QEMU starts here and the guest would see the same machine');
    } else {
      try {
        for (const note of await this.#tryGuest(offer, peer, signal)) notes.add(note);
      } finally {
        this.#policy.onChecked(offer.migrationId);
      }
    }
    return {
      kind: 'answer',
      message: readyMessage(hostName, [...notes], answersOf(fitDisks(offer.disks, this.#policy.images).disks)),
    };
  }

  /** What is worth knowing of the VM's QEMU here, which has ended by then. */
  async #tryGuest(offer: Offer, peer: string, signal: AbortSignal): Promise<readonly string[]> {
    const { vm, epoch, disks } = offer;
    // The id is the peer's choice, and a migration of the same VM may have one like it.
    const instance = `q${randomBytes(4).toString('hex').slice(1)}`;
    const place = { ...this.#placeOf(offer), instance };
    const { hostName } = this.#policy;
    const { directory } = vmPaths(place.stateDirectory, vm.name, instance);
    const from = offer.sourceHost || peer;
    try {
      const uuid = vm.uuid ?? randomUUID();
      const guest = await createDestinationGuest({ vm, disks, uuid, epoch, ...place, hostName, from, signal });
      await guest.discard();
      return guest.notes;
    } finally {
      removeIfEmpty(dirname(directory));
    }
  }

  /** @throws GW_MIGRATION_REFUSED when the memory that it shares with others is not here */
  #placeOf({ vm, migrationId }: Pick<Offer, 'vm' | 'migrationId'>): DestinationPlace {
    const sharing = readSharing(vm);
    const place = placeOf({ migrationId }, this.#policy);
    return sharing ? { ...place, sharedPaths: this.#policy.sharedPathsOf(vm.name, sharing) } : place;
  }

  #fit({ vm, migrationId, disks }: Offer): Promise<Fit> {
    return findFit(vm, this.#placeOf({ vm, migrationId }), disks);
  }

  /** What is worth knowing. @throws GW_MIGRATION_REFUSED */
  #require(vm: string, { blockers, notes }: Fit): readonly string[] {
    if (blockers.length > 0) throw this.#refusal(vm, explainBlockers(blockers));
    return notes;
  }

  /** @throws GW_MIGRATION_REFUSED */
  #admit(
    { vm, migrationId, epoch, sourceHost, checkOnly }: Offer,
    peer: string,
  ): Exclude<Admission, { kind: 'refused' }> {
    const { createdAt } = vm.facts;
    const admission = this.#policy.admit({
      migrationId,
      vm: vm.name,
      uuid: vm.uuid ?? randomUUID(),
      epoch,
      ...(typeof createdAt === 'number' ? { createdAt } : {}),
      memoryBytes: memoryOf(vm),
      macs: readNics(vm.facts).map(({ mac }) => mac),
      from: sourceHost || peer,
      checkOnly,
    });
    if (admission.kind === 'refused') throw this.#refusal(vm.name, admission.reason);
    return admission;
  }

  #refusal(vm: string, reason: string): GodwitError {
    return new GodwitError('GW_MIGRATION_REFUSED', { host: this.#policy.hostName, vm, reason });
  }

  /** Each check sees the host without the others; the time that it waits for them counts. */
  async #inTurn<T>(signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const late = new AbortController();
    const reason = `the check of it took longer than ${this.#checkLimitMs} ms, other checks before it included`;
    const timer = setTimeout(() => late.abort(new GodwitError('GW_QEMU_START', { reason })), this.#checkLimitMs);
    const wanted = AbortSignal.any([signal, this.#closing.signal, late.signal]);
    const before = this.#turn;
    const { promise: over, resolve: end } = Promise.withResolvers<void>();
    this.#turn = Promise.all([before, over]).then(() => undefined);
    const { promise: unwanted, reject } = Promise.withResolvers<never>();
    wanted.addEventListener('abort', () => reject(wanted.reason), { once: true });
    try {
      await Promise.race([before, unwanted]);
      wanted.throwIfAborted();
      return await work(wanted);
    } finally {
      clearTimeout(timer);
      end();
    }
  }
}

/** Ends the QEMUs of checks that a daemon which has died had begun, and removes their directories. */
export async function removeLeftChecks(stateDirectory: string): Promise<void> {
  const vms = join(stateDirectory, 'vms');
  if (!existsSync(vms)) return;
  for (const { name } of readdirSync(vms, { withFileTypes: true }).filter((entry) => entry.isDirectory())) {
    for (const instance of readdirSync(join(vms, name)).filter((entry) => CHECK_INSTANCE.test(entry))) {
      await removeLeftInstance(stateDirectory, name, instance);
    }
  }
}
