/**
 * What the source does for the handover beside its order of events: copying, the rest after the stop, serving pages
 * that are missing, dialling again, and putting everything back.
 *
 * Owns: what was copied and announced so far, and the life of the page server. Must hold: whatever comes of an activity
 * is an event, never a decision about the VM.
 */
import { SYSTEM_CLOCK } from '../base/clock.ts';
import { asGodwitError, GodwitError } from '../base/errors.ts';
import { countPages, type PageRun } from '../base/page.ts';
import type { MemoryDigest } from '../memory/digest.ts';
import type { ControlMessage } from '../wire/messages.ts';
import type { Copied } from './copied.ts';
import type { SourceEvent } from './handover-source-state.ts';
import { isGivenAway } from './phases.ts';
import type { SourceParts } from './source-parts.ts';
import { putBack } from './source-rollback.ts';
import { SourceServing } from './source-serving.ts';
import { sendRest } from './source-switchover.ts';
import { lastWords, sourceFailure, watchLoading } from './source-watch.ts';
import { StateSender } from './state-sender.ts';
import { becomeOrdinary, becomeUrgent } from './thread-priority.ts';

/** What is being sent when it is to end is given up after so long: no less than asking the tracker and QEMU takes. */
const SENDING_ENDS_MS = 1000;

export class SourceTransfer {
  readonly #parts: SourceParts;
  #serving: SourceServing | undefined;
  #copyEnded: Promise<void> | undefined;
  #copied: Copied | undefined;
  #state: StateSender | undefined;
  #digest: MemoryDigest | null = null;
  #missingDigest: MemoryDigest | null = null;

  constructor(parts: SourceParts) {
    this.#parts = parts;
  }

  /** Sent and received on all connections so far. */
  get wireBytes(): number {
    const { disks, link, packing } = this.#parts;
    return disks.copies.bytes + link.bytes + packing.channels.bytesSent + (this.#serving?.urgentBytes ?? 0);
  }

  /** Once, with the first word that allows it: the destination is ready, or keeps pages until it is. */
  startCopying(): void {
    this.#copyEnded ??= this.#copy();
  }

  /** QEMU stops the VM when it has sent what can be sent before. */
  async stopGuest(): Promise<void> {
    becomeUrgent();
    const { guest, packing, throttleClock, note } = this.#parts;
    packing.channels.become('urgent');
    const state = this.#saveState();
    // Not before: at full speed it would write what the limit has no room for. Not later: a slowed vCPU is slow to stop.
    state.stopping
      .then(() => {
        guest.unthrottle();
        throttleClock.set(0);
      })
      .catch((error: unknown) => note(`The VM is stopped while it is slowed: ${asGodwitError(error).message}`));
    const stoppedAtMs = await this.#bounded(state.stopped());
    this.#parts.report.marks.stoppedAtMs = stoppedAtMs ?? SYSTEM_CLOCK.wallMs();
    this.#parts.tell({ kind: 'guestStands' });
  }

  /** The VM is stopped: the last pages or the list of missing ones, and the device state. */
  async sendRest(): Promise<void> {
    const { disks, guest, link, packing, progress, report, pacer, console, beforeCommit, verify } = this.#parts;
    const copied = this.#copied!;
    progress.say({ kind: 'finishing', text: 'The VM is stopped; the rest is being sent' });
    report.marks.stopReturnedAtMs = SYSTEM_CLOCK.wallMs();
    const state = this.#saveState();
    await state.stopped();
    const sending = sendRest({
      sealed: guest.diskServer?.seal(),
      guest,
      connection: link.connection,
      sender: copied.sender,
      sentFrames: () => packing.channels.frames,
      state: { sent: state.sent, proceed: () => disks.finish().then(() => state.proceed()) },
      pacer,
      signal: beforeCommit.signal,
      console,
      marks: report.marks,
      clockComparison: report.clock,
      verify,
      remaining: copied.result.remaining,
      announced: copied.announced,
      held: copied.held,
    });
    const rest = await this.#bounded(sending);
    this.#parts.tell({ kind: 'guestStands' });
    this.#digest = rest.digest;
    this.#missingDigest = rest.missingDigest;
    watchLoading(this.#parts);
    // While the destination loads: what was written right before the stop is what the VM is at.
    if (copied.announced) copied.result.heat?.look(rest.written);
    this.#copied = { ...copied, announced: copied.announced && rest.missing };
  }

  /** Takes the measurements of a message. Returns why the migration has failed, if the memory differs. */
  measure(message: ControlMessage): GodwitError | undefined {
    const { disks, report, verify } = this.#parts;
    if (message.kind === 'ready') return disks.take(message);
    if (message.kind === 'resumed') report.takeResumed(message);
    if (message.kind === 'allPresent') {
      report.takePostCopy(message, countPages(this.#announced), { scheme: verify, digest: this.#missingDigest });
    }
    if (message.kind !== 'loaded') return undefined;
    const difference = report.takeLoaded(message, this.#digest);
    return difference === undefined ? undefined : new GodwitError('GW_MIGRATION_VERIFY', { reason: difference });
  }

  /** Starts the threads that answer page requests. */
  prepareServing(): Promise<void> {
    return this.#serve().openUrgent(this.#parts.beforeCommit.signal);
  }

  servePages(): void {
    this.#serve().owe(this.#announced, this.#copied?.result.heat ?? null);
  }

  /** The VM runs at the destination. */
  resumed(): void {
    becomeOrdinary();
    this.#parts.packing.channels.become('ordinary');
    this.#serving?.resumed();
  }

  stillMissing(runs: readonly PageRun[]): void {
    this.#serving?.stillMissing(runs);
  }

  missed(runs: readonly PageRun[]): void {
    this.#serving?.missed(runs);
  }

  stopServing(): void {
    this.#serving?.stop();
  }

  async rollBack(resume: boolean): Promise<void> {
    becomeOrdinary();
    const { guest, packing, throttleClock, beforeCommit } = this.#parts;
    beforeCommit.abort(new GodwitError('GW_MIGRATION_CANCELLED'));
    guest.unthrottle();
    throttleClock.set(0);
    await this.#bounded(this.#copyEnded ?? Promise.resolve());
    packing.channels.cut();
    this.stopServing();
    await putBack(this.#parts, resume);
  }

  /** Dials without end; tells the handover when the destination has answered. */
  async redial(): Promise<void> {
    const { link, progress, phase } = this.#parts;
    progress.tell();
    const found = await link.redial(async () => {
      if (phase() === 'committed' || phase() === 'serving') await this.#serving?.rejoin();
    });
    if (found === 'ended') return;
    this.#post({ kind: 'connected' });
    if (found === 'unknown') this.#post({ kind: 'received', message: { kind: 'unknown' } });
  }

  async #copy(): Promise<void> {
    const { copying, beforeCommit } = this.#parts;
    try {
      const copied = await copying.run();
      this.#copied = copied;
      const { wasRunning, announced } = copied;
      this.#post({ kind: 'switchoverDecided', wasRunning, pagesMissing: announced !== null });
    } catch (error) {
      await lastWords(this.#parts, error);
      if (beforeCommit.signal.aborted) return;
      this.#post(await sourceFailure(this.#parts, error));
    }
  }

  /**
   * What is sent before the commit. A send can hang in a link that has gone silent: when the migration goes back the VM is
   * not kept waiting for that.
   */
  async #bounded<T>(sending: Promise<T>): Promise<T> {
    const { link, facts, beforeCommit } = this.#parts;
    const { signal } = beforeCommit;
    let late: NodeJS.Timeout | undefined;
    const hurry = (): void => {
      const reason = new GodwitError('GW_WIRE_TIMEOUT', { peer: facts.to, timeoutMs: SENDING_ENDS_MS });
      late = setTimeout(() => link.drop(reason), SENDING_ENDS_MS);
    };
    if (signal.aborted) hurry();
    else signal.addEventListener('abort', hurry, { once: true });
    try {
      return await sending;
    } finally {
      clearTimeout(late);
      signal.removeEventListener('abort', hurry);
    }
  }

  #saveState(): StateSender {
    const { guest, link, pacer, beforeCommit } = this.#parts;
    this.#state ??= new StateSender(guest.saveState(beforeCommit.signal), link.connection, pacer);
    return this.#state;
  }

  #serve(): SourceServing {
    const { guest, link, pacer, packing, verify, progress, report } = this.#parts;
    this.#serving ??= new SourceServing({
      guest,
      link,
      pacer,
      packing,
      verify,
      roundTripMs: 2 * report.clock.uncertaintyMs,
      progress,
      onFailed: (error) => this.#serviceFailed(error),
    });
    return this.#serving;
  }

  /** The thread that answers page requests, not the VM. After the commit another takes its place with the next connection. */
  #serviceFailed(error: GodwitError): void {
    const { link, phase, note } = this.#parts;
    note(`Page requests are not answered any more: ${error.message}`);
    if (isGivenAway(phase())) link.drop(error);
    else this.#post({ kind: 'failed', error: error.toBody() });
  }

  get #announced(): readonly PageRun[] {
    return this.#copied?.announced ?? [];
  }

  #post(event: SourceEvent): void {
    this.#parts.events.post(event);
  }
}
