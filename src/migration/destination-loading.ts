/**
 * The way from an offer to a VM that runs here: QEMU is created, or found again after a restart, loaded and resumed.
 *
 * Owns: the VM's QEMU on this host, while the migration has it, and the watch on its end. Must hold: the device state is
 * loaded only when everything that the source sent before it is in place, and faults on missing pages are answered;
 * whatever comes of it is an event, never a decision about the VM.
 */
import { availableParallelism } from 'node:os';
import { SYSTEM_CLOCK } from '../base/clock.ts';
import { asGodwitError, GodwitError } from '../base/errors.ts';
import { type PageRun, subtractRuns } from '../base/page.ts';
import { waitForExit } from '../linux/process.ts';
import { digestMemory } from '../memory/digest.ts';
import { advanceGuestClock } from '../qemu/guest-clock.ts';
import { chooseChannels } from './channel-choice.ts';
import { keepThreads } from './child-threads.ts';
import { offerContents, shareContents } from './destination-contents.ts';
import type { DestinationEnd } from './destination-end.ts';
import { type HeldInput, missingFilePath } from './destination-facts.ts';
import type { DestinationGuest } from './destination-guest.ts';
import { createOfferedGuest } from './destination-guest-creation.ts';
import { connectAgain, discardLeftBehind, reopenDestinationGuest, unreachable } from './destination-guest-reopening.ts';
import type { DestinationParts } from './destination-parts.ts';
import type { LoadingMeasurements } from './destination-words.ts';
import { answersOf, willCopy } from './disk-fit.ts';
import type { DestinationRecovery } from './journal-facts.ts';
import { writeDownRam } from './known-ram.ts';
import { findStillMissing } from './missing-file.ts';
import { MissingPager } from './missing-pager.ts';
import type { VmRecord } from './vm-record.ts';

/** From the beginning of the load to the first instruction, typically: loading, two journals, a round trip, `cont`. */
const EXPECTED_REST_MS = 8;

type PagerFailed = (error: GodwitError, guest: DestinationGuest) => void;

export class DestinationLoading {
  readonly #parts: DestinationParts;
  readonly #end: DestinationEnd;
  readonly #held: HeldInput | undefined;
  readonly #pagerFailed: PagerFailed;
  #guest: DestinationGuest | undefined;
  /** The QEMU of an earlier process of this host, which may not answer any more. */
  #leftBehind: VmRecord | null = null;
  /** Resolves when no QEMU is being made any more. */
  #preparing: Promise<void> = Promise.resolve();
  #digestMs = 0;
  #loadMs = 0;
  #commitHeardAtMs = 0;
  #resumeMs = 0;

  /** @param pagerFailed - faults are not answered any more */
  constructor(parts: DestinationParts, end: DestinationEnd, pagerFailed: PagerFailed, held?: HeldInput) {
    this.#parts = parts;
    this.#end = end;
    this.#pagerFailed = pagerFailed;
    this.#held = held;
  }

  get guest(): DestinationGuest | undefined {
    return this.#guest;
  }
  /** @throws GW_INTERNAL when QEMU is not there yet */
  requireGuest(): DestinationGuest {
    if (!this.#guest) throw new GodwitError('GW_INTERNAL', { reason: 'the VM is not there yet' });
    return this.#guest;
  }

  /** Creates QEMU. Never rejects. */
  prepare(): Promise<void> {
    this.#preparing = this.#prepare();
    return this.#preparing;
  }

  async #prepare(): Promise<void> {
    const { arrivals, disks, facts, journal, life, events, port, receiver } = this.#parts;
    arrivals.prepare(chooseChannels({ asked: 0, cpus: availableParallelism() }));
    try {
      const isGroupMember = facts.offer.vm.facts['sharedMemory'] !== undefined;
      if (isGroupMember) keepThreads('fault-worker', 1);
      // Looked up while QEMU starts. A VM of a group begins when it is called, one whose disks are copied after them.
      let isReady = false;
      const contents = offerContents(this.#parts, this.#held, () => !isReady && !isGroupMember && !willCopy(facts));
      const guest = await createOfferedGuest(facts, port, (planned) => disks.create(planned), life.signal);
      if (this.#end.isFinished) {
        await guest.discard();
        return;
      }
      this.#use(guest);
      if (this.#held) shareContents(this.#parts, this.#held, guest);
      const { record } = guest;
      const ram = writeDownRam(guest.regions);
      await guest.borrowSettings((settings) => journal.append({ side: 'facts', record, ram, settings }));
      await guest.openExports();
      await guest.prepareToLoad(life.signal);
      await contents;
      isReady = true;
      // A VM of a group can be called at any moment, and is waited for then.
      if (!isGroupMember) this.#parts.patience.begin();
      this.#parts.arrivals.become(isGroupMember ? 'ordinary' : 'copying');
      events.post({ kind: 'prepared' });
      // Behind that: what has come meanwhile finds its place from here on.
      receiver.open(guest);
    } catch (error) {
      events.post({ kind: 'refused', error: asGodwitError(error).toBody() });
    }
  }

  /** The memory of the QEMU that was left behind, and who asks for what is missing. Returns why it is of no use, if so. */
  async reopen(recovery: DestinationRecovery, pagesMissing: boolean): Promise<GodwitError | undefined> {
    const { disks, facts, note, receiver, report } = this.#parts;
    report.interrupted = true;
    disks.findAgain(recovery);
    this.#leftBehind = recovery.vm;
    const phase = this.#parts.phase();
    if (!recovery.vm || !recovery.hasVm || phase === 'failed') return undefined;
    try {
      const guest = await reopenDestinationGuest(recovery.vm, facts.stateDirectory, recovery, note);
      this.#use(guest);
      receiver.open(guest);
      const missing = pagesMissing && phase !== 'done' ? findStillMissing(missingFilePath(facts), guest.memory) : [];
      const pager = guest.isWatching || missing.length > 0 ? this.openPager(missing) : undefined;
      await pager?.ready;
      receiver.resume(pager);
      return undefined;
    } catch (cause) {
      return await unreachable(recovery.vm, cause);
    }
  }

  /** QMP of the QEMU that was found again; see `reopen`. @throws what ends this thread: QEMU may be waiting for what that did */
  async reconnect(): Promise<GodwitError | undefined> {
    const guest = this.#guest;
    if (!guest) return undefined;
    try {
      await Promise.race([connectAgain(guest, this.#parts.note), this.#parts.events.closed]);
      if (this.#parts.phase() !== 'loaded' || (await guest.isLoaded())) return undefined;
      return new GodwitError('GW_QEMU_STATE', { action: 'load', reason: 'the host daemon stopped meanwhile' });
    } catch (cause) {
      return await unreachable(guest.record, cause);
    }
  }

  /** Pages will be missing: whoever touches one waits from now on. */
  openPager(missing?: readonly PageRun[]): MissingPager {
    const { arrivals, facts, journal, link, events } = this.#parts;
    const guest = this.requireGuest();
    const { insideFd } = guest.watchMissing();
    journal.append({ side: 'facts', insideFd });
    return new MissingPager(
      guest,
      facts.offer.verify,
      {
        share: (paging) => arrivals.page(paging),
        pushed: () => arrivals.statistics(),
        onLinkLost: (reason) => link.drop(reason),
        onAllPresent: () => events.post({ kind: 'allPagesArrived' }),
        onFailed: (error) => this.#pagerFailed(error, guest),
      },
      missing,
    );
  }

  /** Loading reads guest memory, so it begins only when everything before `stateEnd` is in place. */
  async load(pagesMissing: boolean): Promise<void> {
    const { facts, receiver, report, events } = this.#parts;
    const guest = this.requireGuest();
    const { state, end } = await receiver.takeWholeState(pagesMissing);
    const { pager } = receiver;
    const { verify, vm } = facts.offer;
    if (verify && end.digest) {
      const startedMs = SYSTEM_CLOCK.nowMs();
      const all = [{ first: 0, count: receiver.pageCount }];
      report.digest = digestMemory(guest.memory, {
        scheme: verify,
        runs: pager ? subtractRuns(all, pager.expectedRuns()) : all,
      });
      this.#digestMs = SYSTEM_CLOCK.nowMs() - startedMs;
    }
    if ((vm.accel === 'tcg' || vm.accel === 'kvm') && end.stoppedAtMs !== null) {
      const stoodStillMs = SYSTEM_CLOCK.wallMs() - end.clockOffsetMs - end.stoppedAtMs;
      advanceGuestClock(state, vm.accel, stoodStillMs + EXPECTED_REST_MS);
    }
    const startedMs = SYSTEM_CLOCK.nowMs();
    await guest.loadState(state);
    this.#loadMs = SYSTEM_CLOCK.nowMs() - startedMs;
    events.post({ kind: 'stateLoaded' });
  }

  /** The downtime's last part begins. */
  commitHeard(): void {
    this.#commitHeardAtMs ||= SYSTEM_CLOCK.wallMs();
  }

  /** Lets the VM run. Returns when it did, by QEMU's own event: its answer to `cont` comes later. */
  async resume(): Promise<number> {
    const { resumedAtMs } = await this.requireGuest().resume();
    this.#parts.arrivals.become('ordinary');
    if (this.#commitHeardAtMs > 0) this.#resumeMs = Math.max(0, resumedAtMs - this.#commitHeardAtMs);
    this.#parts.report.resumedAtMs = resumedAtMs;
    return resumedAtMs;
  }

  /** What there is to tell the source so far. */
  measure(): LoadingMeasurements {
    const { receiver, report } = this.#parts;
    const times = { digestMs: this.#digestMs, loadMs: this.#loadMs, resumeMs: this.#resumeMs };
    const { notes = [], disks = [] } = this.#guest ?? {};
    return { notes, disks: answersOf(disks), digest: report.digest, ...times, pager: receiver.pager };
  }

  /** What there is of the VM here, to which nobody talks any more. null: nothing, or it is its user's already. */
  release(): VmRecord | null {
    if (this.#end.isSettled) return null;
    this.#guest?.closeQmp();
    return this.#guest?.record ?? this.#leftBehind;
  }

  /** Nothing of the VM stays here. */
  async discard(): Promise<void> {
    const { arrivals, disks, facts, life, phase, receiver, report } = this.#parts;
    receiver.pager?.stop();
    // Before QEMU's memory goes, and what is closed with the migration's life.
    await arrivals.stop();
    life.abort();
    // A QEMU that is being started would be nobody's.
    await this.#preparing;
    if (this.#guest) await this.#guest.discard();
    else if (report.interrupted) await discardLeftBehind(this.#leftBehind, facts);
    this.#guest = undefined;
    this.#leftBehind = null;
    // Lost after it was given away: nobody knows what else there is of them.
    if (phase() === 'lost') disks.keep();
    disks.discard();
  }

  #use(guest: DestinationGuest): void {
    const { events, life, note } = this.#parts;
    this.#guest = guest;
    waitForExit(guest.identity, { signal: life.signal })
      .then((ended) => {
        if (!ended || this.#end.isFinished) return;
        const error = new GodwitError('GW_QEMU_GONE', { vm: guest.record.name, reason: 'its process has ended' });
        events.post({ kind: 'guestLost', error: error.toBody() });
      })
      .catch((error: unknown) => note(asGodwitError(error).message));
  }
}
