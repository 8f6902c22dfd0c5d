/**
 * What a person may ask of a migration at the host that the VM leaves.
 *
 * Owns: the cancels that have no answer yet. Must hold: who cancels hears whether it was in time, which only the handover
 * knows when it comes to it: the destination's word that it has loaded the VM may lie before the cancel in its queue.
 */
import { GodwitError } from '../base/errors.ts';
import { explainNoFinishBy } from './finish-by.ts';
import type { SourceStep } from './handover-source-state.ts';
import { isGivenAway } from './phases.ts';
import type { MigrationCommand } from './progress.ts';
import type { SourceParts } from './source-parts.ts';

type Tuned = Omit<Extract<MigrationCommand, { kind: 'tune' }>, 'kind'>;

export class SourceCommands {
  readonly #parts: SourceParts;
  readonly #tune: (changes: Tuned) => void;
  readonly #cancels: PromiseWithResolvers<void>[] = [];

  /** @param tune - these options hold from now on */
  constructor(parts: SourceParts, tune: (changes: Tuned) => void) {
    this.#parts = parts;
    this.#tune = tune;
  }

  /** @throws GW_MIGRATION_TOO_LATE, GW_CONFLICT */
  async take(command: MigrationCommand): Promise<void> {
    const { copying, facts, link, options, packing, phase } = this.#parts;
    if (command.kind === 'tune') {
      const { kind: _, ...tuned } = command;
      const refusal = explainNoFinishBy(options().mode, link.has('post-copy'));
      if ((tuned.finishByMs ?? 0) > 0 && refusal !== null) throw this.#conflict(refusal);
      this.#tune(tuned);
      return;
    }
    if (command.kind === 'go') return copying.go();
    if (isGivenAway(phase())) throw new GodwitError('GW_MIGRATION_TOO_LATE', { vm: facts.vm.name });
    if (command.kind === 'cancel') return await this.#cancel();
    const { mode } = options();
    if (command.kind === 'hurry') {
      packing.channels.become('urgent');
      copying.interrupt(mode === 'pre-copy' || !link.has('post-copy') ? 'pause' : 'asked', true);
      return;
    }
    if (phase() !== 'copying' || mode === 'pre-copy') {
      throw this.#conflict(mode === 'pre-copy' ? 'only mode auto or hybrid can' : `it is in phase ${phase()}`);
    }
    copying.interrupt('asked');
  }

  /** The handover has looked at a cancel. */
  cancelled(step: SourceStep): void {
    const { vm } = this.#parts.facts;
    const answer = this.#cancels.shift();
    if (step.kind !== 'refused') answer?.resolve();
    else if (step.code === 'GW_MIGRATION_TOO_LATE') answer?.reject(new GodwitError(step.code, { vm: vm.name }));
    else answer?.reject(this.#conflict(`it is in phase ${step.phase}`));
  }

  #cancel(): Promise<void> {
    const answer = Promise.withResolvers<void>();
    this.#cancels.push(answer);
    this.#parts.events.post({ kind: 'cancelled' });
    this.#parts.beforeCommit.abort(new GodwitError('GW_MIGRATION_CANCELLED'));
    return answer.promise;
  }

  #conflict(reason: string): GodwitError {
    return new GodwitError('GW_CONFLICT', { kind: 'Migration', name: this.#parts.facts.id, reason });
  }
}
