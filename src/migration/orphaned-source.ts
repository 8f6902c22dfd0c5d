/**
 * A migration at the source that a restart found without a VM: what is still owed to the destination.
 *
 * Owns: saying it. A destination that has promised waits for commit or abort, however long; only this host's journal
 * knows which. Must hold: the handover's own steps decide; QEMU is not touched: it ended while no daemon was there, or
 * the VM was taken back already and is its user's, or a later migration's.
 */
import { asGodwitError, type ErrorBody, GodwitError } from '../base/errors.ts';
import { pagesFor } from '../base/page.ts';
import { removeImages } from '../storage/known-image.ts';
import { Mailbox } from '../transfer/mailbox.ts';
import type { ControlMessage } from '../wire/messages.ts';
import { emptyReport } from './empty-report.ts';
import type { HostTraffic } from './handle.ts';
import { type HandoverOutcome, reportedOutcome, type SourceEffect, type SourceMessage } from './handover.ts';
import { stepSource } from './handover-source.ts';
import { recoverSource } from './handover-source-recovery.ts';
import type { SourceEvent, SourceState } from './handover-source-state.ts';
import type { Journal } from './journal.ts';
import { isTakenBack, type SourceRecovery } from './journal-facts.ts';
import { isGivenAway } from './phases.ts';
import type { SourcePort } from './source-facts.ts';
import { SourceLink } from './source-link.ts';
import { hearDestination, sayToDestination } from './source-words.ts';

export class OrphanedSource {
  readonly #recovery: SourceRecovery;
  readonly #journal: Journal;
  readonly #port: SourcePort;
  readonly #events = new Mailbox<SourceEvent>();
  readonly #life = new AbortController();
  readonly #link: SourceLink;
  #state!: SourceState;
  #finished = false;

  constructor(recovery: SourceRecovery, journal: Journal, port: SourcePort, { dscp, tls }: HostTraffic) {
    const { to, hostName, sessionKey, vm } = recovery.facts;
    this.#recovery = recovery;
    this.#journal = journal;
    this.#port = port;
    this.#link = new SourceLink({
      to,
      hostName,
      dscp,
      tls,
      sessionKey,
      pageCount: pagesFor(vm.memoryBytes),
      life: this.#life.signal,
      onMessage: (message) => this.#hear(message),
      // What the destination misses nobody has any more; `lost` is what it is told.
      onStillMissing: () => undefined,
      onMissed: () => undefined,
      onHeld: () => undefined,
      onLost: (reason) => this.#events.post({ kind: 'connectionLost', error: reason.toBody() }),
      note: (text) => port.emit({ kind: 'noted', level: 'warn', text }),
    });
  }

  /** Resolves when nothing is owed any more. */
  async run(): Promise<void> {
    const found = recoverSource(this.#recovery.records);
    if (!found) return;
    this.#state = found.state;
    const { vm, destinationName } = this.#recovery.facts;
    const { phase, epoch } = found.state;
    this.#port.settle(isGivenAway(phase) ? { kind: 'left', to: destinationName, epoch } : { kind: 'stays' });
    this.#port.emit({ kind: 'phaseChanged', phase, atMs: Date.now() });
    this.#perform(found.effects);
    if (!isTakenBack(this.#recovery)) {
      const gone = new GodwitError('GW_QEMU_GONE', { vm: vm.name, reason: 'it ended while the host daemon was down' });
      this.#events.post({ kind: 'guestLost', error: gone.toBody() });
    }
    while (!this.#isOver()) this.#step(await this.#events.take());
    this.#life.abort();
    this.#link.close();
    this.#journal[Symbol.dispose]();
  }

  #isOver(): boolean {
    const state = this.#state;
    return this.#finished && (state.phase === 'released' || ('owed' in state && !state.owed));
  }

  #step(event: SourceEvent): void {
    const step = stepSource(this.#state, event);
    if (step.kind === 'refused') return;
    this.#state = step.state;
    this.#perform(step.effects);
  }

  #perform(effects: readonly SourceEffect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'writeJournal') this.#journal.append(effect.record);
      else if (effect.kind === 'send') this.#say(effect.message);
      else if (effect.kind === 'redial') this.#redial();
      else if (effect.kind === 'discardGuest') this.#deleteSources();
      else if (effect.kind === 'finish') this.#finish(effect.outcome, effect.error);
    }
  }

  /** What QEMU had is gone with it; its images are not. */
  #deleteSources(): void {
    const { copiedImages = [], options } = this.#recovery.facts;
    if (this.#state.phase !== 'released' || options.sourceDisks !== 'delete') return;
    removeImages(copiedImages, (text) => this.#port.emit({ kind: 'noted', level: 'warn', text }));
  }

  #say(message: SourceMessage): void {
    // Without a VM there is nothing to offer and nothing to switch over.
    if (message.kind !== 'offer' && message.kind !== 'switchover') this.#link.say(sayToDestination(message));
  }

  #redial(): void {
    this.#link
      .redial(async () => undefined)
      .then((found) => {
        if (found === 'ended') return;
        this.#events.post({ kind: 'connected' });
        if (found === 'unknown') this.#events.post({ kind: 'received', message: { kind: 'unknown' } });
      })
      .catch((error: unknown) => {
        this.#port.emit({ kind: 'noted', level: 'warn', text: asGodwitError(error).message });
      });
  }

  #hear(message: ControlMessage): void {
    const heard = hearDestination(message);
    if (heard) this.#events.post({ kind: 'received', message: heard });
  }

  #finish(outcome: HandoverOutcome, error: ErrorBody | null): void {
    if (this.#finished) return;
    this.#finished = true;
    const { facts } = this.#recovery;
    const totalMs = Date.now() - facts.startedAt;
    const report = emptyReport({
      input: facts,
      startedAt: facts.startedAt,
      totalMs,
      outcome: reportedOutcome(outcome, error),
      error,
      interrupted: true,
    });
    const owner = isGivenAway(this.#state.phase) ? facts.destinationName : facts.hostName;
    this.#port.emit({ kind: 'ended', report: { ...report, owner } });
  }
}
