/**
 * One migration at the destination: interprets the handover's steps with a real QEMU and a real connection.
 *
 * Owns: the order of events. Must hold: only `stepDestination` decides what happens to the VM; between `loaded` and
 * commit or abort nothing but QEMU's end ends the waiting.
 */
import { asGodwitError, type GodwitError } from '../base/errors.ts';
import type { Connection } from '../transfer/connection.ts';
import { encodeControl } from '../wire/message-codec.ts';
import type { ControlMessage, JoinPurpose } from '../wire/messages.ts';
import { ArrivalFailures } from './arrival-failures.ts';
import { useConnection } from './destination-connections.ts';
import { acknowledgeRound, resumeOwned, writeRecord } from './destination-duties.ts';
import { DestinationEnd } from './destination-end.ts';
import type { DestinationFacts, DestinationPort, HeldInput } from './destination-facts.ts';
import type { DestinationGuest } from './destination-guest.ts';
import { DestinationLoading } from './destination-loading.ts';
import { assembleDestination, type DestinationParts } from './destination-parts.ts';
import { hearSource, sayToSource } from './destination-words.ts';
import type { DestinationEffect, DestinationMessage } from './handover.ts';
import { startDestination, stepDestination } from './handover-destination.ts';
import { recoverDestination } from './handover-destination-recovery.ts';
import type { DestinationEvent, DestinationState } from './handover-destination-state.ts';
import { takeIncomingCommand } from './incoming-command.ts';
import type { Journal } from './journal.ts';
import type { DestinationRecovery } from './journal-facts.ts';
import type { MigrationCommand } from './progress.ts';

export class DestinationMigration {
  /** Resolved when others may join: a fault service that does not know what is missing answers with zeros. */
  readonly standing: PromiseWithResolvers<void> = Promise.withResolvers<void>();
  readonly #parts: DestinationParts;
  readonly #loading: DestinationLoading;
  readonly #end: DestinationEnd;
  #state!: DestinationState;
  /** The source has come back: it waits for our list of missing pages. */
  #rejoined = false;
  #wasRunning: boolean;
  readonly #failures: ArrivalFailures;
  #released = false;

  constructor(facts: DestinationFacts, journal: Journal, port: DestinationPort, held?: HeldInput) {
    this.#wasRunning = facts.offer.vm.wasRunning;
    this.#parts = assembleDestination(facts, journal, port, {
      phase: () => this.#state.phase,
      control: (message) => this.#receive(message),
      binary: (name, payload) => this.#failures.take(name, payload),
      openPager: () => this.#loading.openPager(),
      onFailed: (error) => this.#failures.tell(error),
    });
    this.#failures = new ArrivalFailures(this.#parts);
    this.#end = new DestinationEnd(this.#parts);
    const pagerFailed = (error: GodwitError, guest: DestinationGuest) => void this.#failures.pagerFailed(error, guest);
    this.#loading = new DestinationLoading(this.#parts, this.#end, pagerFailed, held);
  }

  async run(connection: Connection): Promise<void> {
    const { facts, journal } = this.#parts;
    journal.append({ side: 'facts', facts });
    const { migrationId, epoch, vm } = facts.offer;
    const { state, effects } = startDestination({ migration: migrationId, vm: vm.name, epoch, peer: facts.peer });
    this.#state = state;
    this.#parts.link.use(connection);
    this.#parts.report.phaseChanged();
    await this.#loop(async () => {
      await this.#perform(effects);
      this.#loading.prepare().catch((error: unknown) => this.#fail(error));
      this.standing.resolve();
    });
  }

  /** Goes on after a restart, where the journal ends. The source comes back by itself. */
  async recover(recovery: DestinationRecovery): Promise<void> {
    const found = recoverDestination(recovery.records);
    if (!found) return;
    this.#state = found.state;
    this.#parts.report.phaseChanged();
    const promised = recovery.records.findLast((record) => record.kind === 'prepared');
    if (promised) this.#wasRunning = promised.wasRunning;
    await this.#loop(() => this.#findAgain(recovery, found.effects, promised?.pagesMissing ?? false));
  }

  /** A further connection of this migration, which the listener has let in. */
  join(purpose: JoinPurpose, connection: Connection, detach: () => number): void {
    const { phase, epoch } = this.#state;
    const { arrivals, link, receiver } = this.#parts;
    const joined = encodeControl({ kind: 'joined', phase, epoch });
    if (purpose === 'pages' && !arrivals.hasRoom) {
      connection.destroy();
      return;
    }
    if (purpose !== 'resume') {
      connection
        .send(joined)
        .then(() => useConnection(this.#parts, this.#loading, purpose, detach()))
        .catch((error: unknown) => connection.destroy(asGodwitError(error)));
      return;
    }
    arrivals.replace();
    link.endReplaced();
    this.#rejoined = true;
    receiver.pager?.countReconnect();
    link.use(connection);
    connection.send(joined).catch(() => connection.destroy());
  }

  /** @throws GW_CONFLICT, GW_MIGRATION_TOO_LATE */
  async command(command: MigrationCommand): Promise<void> {
    takeIncomingCommand(this.#parts, command);
  }

  // ---- events and effects

  async #findAgain(
    recovery: DestinationRecovery,
    effects: readonly DestinationEffect[],
    pagesMissing: boolean,
  ): Promise<void> {
    const { phase } = this.#state;
    const unfound = await this.#loading.reopen(recovery, pagesMissing);
    // Before QEMU is asked: it may be waiting for a page, which the source brings.
    this.standing.resolve();
    if (recovery.isSettled) this.#end.wasSettled();
    const lost = unfound ?? (recovery.isSettled ? undefined : await this.#loading.reconnect());
    // Where the VM was its user's already its end is that of any VM.
    if (lost && phase !== 'failed' && phase !== 'done') {
      return await this.#handle({ kind: 'guestLost', error: lost.toBody() });
    }
    if (!lost && recovery.hasVm && (phase === 'pagingIn' || phase === 'done')) this.#settleArrived();
    await this.#perform(effects);
  }

  async #loop(begin: () => Promise<void>): Promise<void> {
    const { arrivals, events, journal, life, link, receiver } = this.#parts;
    try {
      await begin();
      while (!this.#isOver()) await this.#handle(await events.take());
    } finally {
      // First: they use what is closed with the migration's life.
      receiver.pager?.stop();
      await Promise.all([arrivals.stop(), this.#end.settling]);
      life.abort();
      link.close();
      this.#loading.guest?.close();
      journal[Symbol.dispose]();
    }
  }

  /** After `done` the thread stays for the source's release: a commit may be repeated. */
  #isOver(): boolean {
    return this.#end.isFinished && (this.#state.phase !== 'done' || this.#released);
  }

  async #handle(event: DestinationEvent): Promise<void> {
    const before = this.#state.phase;
    const isCommit = event.kind === 'received' && event.message.kind === 'commit';
    if (isCommit) this.#loading.commitHeard();
    const step = stepDestination(this.#state, event);
    if (step.kind === 'refused') {
      this.#parts.note(`Refused in phase ${step.phase}: ${step.event}`);
      return;
    }
    this.#state = step.state;
    if (step.state.phase !== before) this.#parts.report.phaseChanged();
    try {
      await this.#perform(step.effects);
    } catch (error) {
      const failed: DestinationEvent = { kind: 'failed', error: asGodwitError(error).toBody() };
      // No way back from here: a thread that begins where the journal ends may do better.
      if (stepDestination(this.#state, failed).kind === 'refused') throw error;
      await this.#handle(failed);
      return;
    }
    if (event.kind === 'received' && event.message.kind === 'release') this.#released = true;
    if (isCommit && this.#rejoined) this.#tellStillMissing();
  }

  async #perform(effects: readonly DestinationEffect[]): Promise<void> {
    for (const effect of effects) await this.#performOne(effect);
  }

  async #performOne(effect: DestinationEffect): Promise<void> {
    switch (effect.kind) {
      case 'writeJournal':
        await writeRecord(this.#parts, this.#state.phase, effect.record);
        return;
      case 'send':
        this.#say(effect.message);
        return;
      case 'loadState':
        this.#loading.load(effect.pagesMissing).catch((error: unknown) => this.#fail(error));
        return;
      case 'pageIn':
        if (this.#parts.receiver.pager) this.#parts.receiver.pager.begin();
        else this.#parts.events.post({ kind: 'allPagesArrived' });
        return;
      case 'resumeGuest':
        await resumeOwned(this.#parts, this.#loading, (at) => this.#handle({ kind: 'guestResumed', resumedAtMs: at }));
        return;
      case 'discardGuest':
        await this.#loading.discard();
        return;
      case 'finish':
        await this.#end.finish(effect.outcome, effect.error, this.#loading.release());
        return;
    }
  }

  // ---- messages and pages

  #say(message: DestinationMessage): void {
    if (message.kind === 'resumed') this.#settleArrived();
    if (message.kind === 'unknown') return;
    const { facts, link, report } = this.#parts;
    const known = { hostName: facts.hostName, epoch: this.#state.epoch, interrupted: report.interrupted };
    link.send(sayToSource(message, { ...known, ...this.#loading.measure() }));
  }

  #receive(message: ControlMessage): void {
    const { receiver, report, events, note } = this.#parts;
    const heard = hearSource(message);
    if (message.kind === 'roundEnd') {
      acknowledgeRound(this.#parts, message).catch((error: unknown) => note(asGodwitError(error).message));
    } else if (message.kind === 'stopped') {
      receiver.takeStopped();
    } else if (message.kind === 'stateEnd') {
      report.stateEnd = message;
      receiver.takeStateEnd(message);
    } else if (message.kind === 'switchover') {
      this.#parts.hurry();
      this.#wasRunning = message.wasRunning;
      this.#end.takeHistory(message.history);
    }
    if (heard) events.post({ kind: 'received', message: heard });
  }

  /** The source's answer to a repeated commit begins with what is missing here. */
  #tellStillMissing(): void {
    const { link, receiver } = this.#parts;
    if (receiver.pager && this.#state.phase === 'pagingIn') link.sendStillMissing(receiver.pager.missingRuns());
  }

  #settleArrived(): void {
    if (!this.#end.isSettled) this.#end.settleArrived(this.#loading.requireGuest(), this.#wasRunning);
  }

  #fail(error: unknown): void {
    this.#parts.events.post({ kind: 'failed', error: asGodwitError(error).toBody() });
  }
}
