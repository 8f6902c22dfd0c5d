/**
 * How a migration ends at the destination: where the VM is, and the report.
 *
 * Owns: that both are told, once. Must hold: the VM's QMP connection is closed before the daemon hears that it has
 * arrived; the report waits for the fault service to end.
 */
import { asGodwitError, type ErrorBody } from '../base/errors.ts';
import type { DestinationGuest } from './destination-guest.ts';
import type { DestinationParts } from './destination-parts.ts';
import { type HandoverOutcome, reportedOutcome } from './handover.ts';
import type { HistorySample } from './history.ts';
import { writeHistory } from './history-file.ts';
import { becomeOrdinary } from './thread-priority.ts';
import type { VmRecord } from './vm-record.ts';

export class DestinationEnd {
  readonly #parts: DestinationParts;
  #settled = false;
  /** undefined after a restart: the file that is there stays. */
  #history: readonly HistorySample[] | undefined;
  #finished = false;
  #settling: Promise<void> = Promise.resolve();

  constructor(parts: DestinationParts) {
    this.#parts = parts;
  }

  /** The daemon knows where the VM is. */
  get isSettled(): boolean {
    return this.#settled;
  }

  /** Resolves when nobody talks to QEMU any more for a VM that has arrived. Never rejects. */
  get settling(): Promise<void> {
    return this.#settling;
  }

  /** The process, or the thread before this one, has told where the VM is. */
  wasSettled(): void {
    this.#settled = true;
  }

  /** What the source knows of the VM's modification rates. */
  takeHistory(samples: readonly HistorySample[]): void {
    this.#history = samples;
  }

  /** The report is out, or waits for the fault service only. */
  get isFinished(): boolean {
    return this.#finished;
  }

  /** The VM is this host's and runs, or is paused as it was. */
  settleArrived(guest: DestinationGuest, wasRunning: boolean): void {
    if (this.#settled) return;
    this.#settled = true;
    becomeOrdinary();
    const { journal, port, note } = this.#parts;
    if (this.#history) writeHistory(guest.paths.history, this.#history);
    this.#settling = guest
      // They are their owner's from now on, to change as well: a restart must not put them back once more.
      .settleIn(wasRunning, () => journal.append({ side: 'facts', settings: null }))
      .catch((error: unknown) => note(asGodwitError(error).message))
      .finally(() => {
        guest.closeQmp();
        port.settle({ kind: 'arrived', vm: guest.record });
      });
  }

  /** @param remains - of a VM that was this host's and was lost before it ran: the user sees it as any that crashed */
  async finish(outcome: HandoverOutcome, error: ErrorBody | null, remains: VmRecord | null): Promise<void> {
    if (this.#finished) return;
    this.#finished = true;
    const { port, receiver, report } = this.#parts;
    await receiver.pager?.end();
    if (!this.#settled) {
      this.#settled = true;
      port.settle(outcome === 'lost' && remains ? { kind: 'arrived', vm: remains } : { kind: 'absent' });
    }
    port.emit({ kind: 'ended', report: report.make(reportedOutcome(outcome, error), error) });
  }
}
