/**
 * One migration at the source: interprets the handover's steps with a real QEMU and a real connection.
 *
 * Owns: the order of events (one queue; the next event is looked at when the effects of the last are done) and the
 * activities that run beside it. Must hold: only `stepSource` decides what happens to the VM; a journal that cannot be
 * written ends the thread, and the migration is recovered from what the journal holds.
 */
import { asGodwitError, type GodwitError } from '../base/errors.ts';
import { MAX_HISTORY_SAMPLES } from '../wire/limits.ts';
import type { ControlMessage } from '../wire/messages.ts';
import { withdrawTokens } from './disk-offer.ts';
import type { SourceEffect, SourceMessage, SourceRecord } from './handover.ts';
import { startSource, stepSource } from './handover-source.ts';
import { recoverSource } from './handover-source-recovery.ts';
import type { SourceEvent, SourceState } from './handover-source-state.ts';
import type { Journal } from './journal.ts';
import type { OpenedConnection } from './opening.ts';
import { isGivenAway } from './phases.ts';
import type { MigrationCommand } from './progress.ts';
import type { MigrationOptions } from './request.ts';
import { SourceCommands } from './source-commands.ts';
import { SourceEnd } from './source-end.ts';
import type { SourceFacts, SourceHost, SourcePort } from './source-facts.ts';
import type { SourceGuest } from './source-guest.ts';
import { makeOffer } from './source-offer.ts';
import { assembleSource, type SourceParts } from './source-parts.ts';
import { SourceTransfer } from './source-transfer.ts';
import { sourceFailure, TimeLimit, watchDisks, watchPreparing, watchQemu, watchStandstill } from './source-watch.ts';
import { hearDestination, sayToDestination } from './source-words.ts';

const NOT_READY_PAUSE_MS = 1000;

export class SourceMigration {
  readonly #facts: SourceFacts;
  readonly #guest: SourceGuest;
  readonly #journal: Journal;
  readonly #parts: SourceParts;
  readonly #transfer: SourceTransfer;
  readonly #end: SourceEnd;
  readonly #timeLimit: TimeLimit;
  readonly #commands: SourceCommands;
  #options: MigrationOptions;
  #state!: SourceState;

  constructor(facts: SourceFacts, host: SourceHost, guest: SourceGuest, journal: Journal, port: SourcePort) {
    this.#facts = facts;
    this.#guest = guest;
    this.#journal = journal;
    this.#options = facts.options;
    this.#parts = assembleSource(facts, host.traffic, guest, {
      fleetKey: host.fleetKey,
      sentContents: host.sentContents,
      emit: (event) => port.emit(event),
      entrust: port.entrust,
      keepSettings: (settings) => journal.append({ side: 'facts', settings }),
      keepCopied: (copiedImages) => journal.append({ side: 'facts', copiedImages }),
      phase: () => this.#state.phase,
      options: () => this.#options,
      wireBytes: () => this.#transfer.wireBytes,
      onMessage: (message) => this.#receive(message),
      onStillMissing: (runs) => this.#transfer.stillMissing(runs),
      onMissed: (runs) => this.#transfer.missed(runs),
      onLost: (reason) => this.#loseConnection(reason),
      prepareServing: () => this.#transfer.prepareServing(),
    });
    this.#transfer = new SourceTransfer(this.#parts);
    this.#end = new SourceEnd(this.#parts, port);
    this.#timeLimit = new TimeLimit(this.#parts);
    this.#commands = new SourceCommands(this.#parts, (changes) => {
      this.#options = { ...this.#options, ...changes };
      this.#parts.pacer.setLimit(this.#options.bandwidthBytesPerSecond);
      this.#timeLimit.set(this.#options);
    });
  }

  /** A new migration over a connection that has agreed on the protocol. Resolves when nothing is left to do. */
  async run(opened: OpenedConnection): Promise<void> {
    const { id, vm, to } = this.#facts;
    this.#journal.append({ side: 'facts', ...this.#facts });
    this.#parts.link.use(opened);
    // When the offer is on its way: the destination is busy with it longer than a forecast takes.
    setImmediate(() => this.#parts.copying.foresee());
    const { state, effects } = startSource({ migration: id, vm: vm.name, epoch: vm.epoch + 1, peer: to });
    await this.#begin(state, effects);
  }

  /** Goes on after a restart, where the journal ends. */
  async recover(records: readonly SourceRecord[]): Promise<void> {
    const found = recoverSource(records);
    if (!found) return;
    this.#parts.report.interrupted = true;
    if (isGivenAway(found.state.phase)) this.#end.settleLeft(found.state.epoch);
    await this.#begin(found.state, found.effects);
  }

  /** Nobody needs what of it is here any more. */
  get hasLeft(): boolean {
    return this.#state.phase === 'released';
  }

  /** @throws GW_MIGRATION_TOO_LATE, GW_CONFLICT */
  command(command: MigrationCommand): Promise<void> {
    return this.#commands.take(command);
  }

  // ---- events and effects

  async #begin(state: SourceState, effects: readonly SourceEffect[]): Promise<void> {
    const { events, guest, life, link, progress } = this.#parts;
    this.#state = state;
    progress.phaseChanged();
    watchQemu(this.#parts, this.#end);
    watchDisks(this.#parts);
    watchPreparing(this.#parts);
    this.#timeLimit.set(this.#options);
    try {
      await this.#tryPerform(effects);
      while (!this.#isOver()) await this.#handle(await events.take());
    } finally {
      life.abort();
      this.#transfer.stopServing();
      link.close();
      guest.close();
      this.#journal[Symbol.dispose]();
    }
  }

  #isOver(): boolean {
    const state = this.#state;
    if (!this.#end.isFinished) return false;
    return state.phase === 'released' || ('owed' in state && !state.owed);
  }

  async #handle(event: SourceEvent): Promise<void> {
    const before = this.#state.phase;
    const step = stepSource(this.#state, event);
    if (event.kind === 'cancelled') this.#commands.cancelled(step);
    if (step.kind === 'refused') {
      this.#parts.note(`Refused in phase ${step.phase}: ${step.event}`);
      return;
    }
    this.#state = step.state;
    if (step.state.phase !== before) this.#parts.progress.phaseChanged();
    if (before === 'preparing' && step.state.phase !== before) withdrawTokens(this.#facts.disks);
    if (step.state.phase === 'copying' && before === 'preparing') {
      this.#transfer.startCopying();
      this.#parts.copying.destinationIsReady();
    }
    if (!(await this.#tryPerform(step.effects))) return;
    if (step.state.phase === 'committed' && before === 'stopping') this.#end.settleLeft(step.state.epoch);
    const resumed = event.kind === 'received' && event.message.kind === 'resumed';
    if (resumed && step.state.phase === 'serving') this.#transfer.resumed();
  }

  /** False when an effect failed and the migration with it; where it cannot any more the thread ends. */
  async #tryPerform(effects: readonly SourceEffect[]): Promise<boolean> {
    try {
      for (const effect of effects) await this.#perform(effect);
      return true;
    } catch (error) {
      const failure = await sourceFailure(this.#parts, error);
      const hasNoWayBack = isGivenAway(this.#state.phase) || stepSource(this.#state, failure).kind === 'refused';
      if (hasNoWayBack) throw asGodwitError(error);
      await this.#handle(failure);
      return false;
    }
  }

  async #perform(effect: SourceEffect): Promise<void> {
    switch (effect.kind) {
      case 'writeJournal':
        this.#journal.append(effect.record);
        return;
      case 'send':
        this.#say(effect.message);
        return;
      case 'offerLater':
        setTimeout(() => this.#say({ kind: 'offer' }), NOT_READY_PAUSE_MS).unref();
        return;
      case 'stopGuest':
        watchStandstill(this.#parts);
        await this.#transfer.stopGuest();
        return;
      case 'sendRest':
        await this.#transfer.sendRest();
        return;
      case 'servePages':
        this.#transfer.servePages();
        return;
      case 'rollBack':
        await this.#transfer.rollBack(effect.resume);
        return;
      case 'redial':
        this.#transfer.redial().catch((error: unknown) => this.#parts.note(asGodwitError(error).message));
        return;
      case 'discardGuest':
        this.#transfer.stopServing();
        await this.#guest.discard();
        if (this.#state.phase === 'released') this.#parts.disks.deleteSources();
        if (this.#state.phase === 'lost') this.#parts.note(`What was left here of VM ${this.#facts.vm.name} is freed`);
        return;
      case 'keepGuest':
        await this.#end.keepGuest();
        return;
      case 'finish':
        this.#end.finish(effect.outcome, effect.error, this.#transfer.wireBytes);
        return;
    }
  }

  // ---- messages

  #say(message: SourceMessage): void {
    const { link, history, verify } = this.#parts;
    if (message.kind === 'switchover') {
      link.say({ ...message, history: history.recent(MAX_HISTORY_SAMPLES) });
      return;
    }
    if (message.kind !== 'offer') {
      link.say(sayToDestination(message));
      return;
    }
    const now = { mode: this.#options.mode, epoch: this.#state.epoch };
    link.say(makeOffer({ ...this.#facts, ...now, verify, checkOnly: false }, this.#guest));
  }

  #receive(message: ControlMessage): void {
    const { events } = this.#parts;
    const heard = hearDestination(message);
    if (message.kind === 'begin' && this.#state.phase === 'preparing') this.#transfer.startCopying();
    if (!heard) return;
    if (heard.kind === 'notReady') this.#parts.progress.waitFor(heard.reason);
    const failure = this.#transfer.measure(message);
    if (failure) events.post({ kind: 'failed', error: failure.toBody() });
    else events.post({ kind: 'received', message: heard });
  }

  #loseConnection(reason: GodwitError): void {
    const { events, beforeCommit } = this.#parts;
    events.post({ kind: 'connectionLost', error: reason.toBody() });
    if (!isGivenAway(this.#state.phase)) beforeCommit.abort(reason);
  }
}
