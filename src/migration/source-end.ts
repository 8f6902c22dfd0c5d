/**
 * How a migration ends at the source: where the VM is, and the report.
 *
 * Owns: that both are told, once. Must hold: the VM is settled before the report is out; once it is, nothing here talks
 * to its QEMU unless it has left, because the daemon does.
 */
import { SYSTEM_CLOCK } from '../base/clock.ts';
import { asGodwitError, type ErrorBody } from '../base/errors.ts';
import { formatDuration } from '../base/units.ts';
import { isAlive } from '../linux/process.ts';
import type { VmSettlement } from './handle.ts';
import { type HandoverOutcome, reportedOutcome } from './handover.ts';
import { rememberVisit } from './known-links-file.ts';
import { isGivenAway } from './phases.ts';
import type { MigrationReport } from './report.ts';
import { reportDiskRequests } from './source-disk-server.ts';
import type { SourcePort } from './source-facts.ts';
import type { SourceParts } from './source-parts.ts';

export class SourceEnd {
  readonly #parts: SourceParts;
  readonly #port: SourcePort;
  #settled = false;
  #finished = false;

  constructor(parts: SourceParts, port: SourcePort) {
    this.#parts = parts;
    this.#port = port;
  }

  /** The daemon knows where the VM is. */
  get isSettled(): boolean {
    return this.#settled;
  }

  /** The report is out; an abort may still be owed to the destination. */
  get isFinished(): boolean {
    return this.#finished;
  }

  /** The VM is the destination's. */
  settleLeft(epoch: number): void {
    this.#settle({ kind: 'left', to: this.#parts.facts.destinationName, epoch });
  }

  /** The VM was given away and could not be taken; here it stays, paused, until a person decides. */
  async keepGuest(): Promise<void> {
    const { facts, guest, note } = this.#parts;
    const { name, pid, qmpPath } = facts.vm;
    if (!isAlive(guest.identity)) return;
    await guest.restoreSettings().catch((error: unknown) => note(asGodwitError(error).message));
    const adopt = `godwit vm adopt ${name} --pid ${pid} --qmp ${qmpPath}`;
    note(`To take it back: ${adopt}; godwit vm resume ${name}`);
  }

  finish(outcome: HandoverOutcome, error: ErrorBody | null, wireBytes: number): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#settle({ kind: 'stays' });
    const { facts, guest, history, options, phase, predictor, report, startedMs, throttleClock, visit } = this.#parts;
    const sinceStartMs = SYSTEM_CLOCK.nowMs() - startedMs;
    const made = report.make({
      outcome: reportedOutcome(outcome, error),
      error,
      totalMs: report.interrupted ? SYSTEM_CLOCK.wallMs() - facts.startedAt : sinceStartMs,
      wireBytes,
      disks: this.#parts.disks.report(),
      owner: isGivenAway(phase()) ? facts.destinationName : facts.hostName,
      finishByMs: options().finishByMs || null,
      downtimeLimitMs: options().maxDowntimeMs,
      throttle: { mechanism: guest.throttleMechanism, ...throttleClock.read() },
      tracker: guest.trackerReport,
      predictions: predictor.made,
      diskRequests: reportDiskRequests(guest),
    });
    try {
      history.save();
      const seen = visit.make(made, Date.now());
      if (seen) rememberVisit(facts.linksPath, facts.to, seen);
    } catch (thrown) {
      // Experience that is not kept changes nothing of what has happened.
      this.#parts.note(asGodwitError(thrown).message);
    }
    this.#tellLate(made);
    this.#port.emit({ kind: 'ended', report: made });
  }

  #tellLate({ outcome, totalMs, finishByMs }: MigrationReport): void {
    if (outcome !== 'completed' || finishByMs === null || totalMs <= finishByMs) return;
    this.#parts.note(`It took ${formatDuration(totalMs)}, longer than --finish-by ${formatDuration(finishByMs)}`);
  }

  #settle(settlement: VmSettlement): void {
    if (this.#settled) return;
    this.#settled = true;
    // From now on the daemon may use the QMP connection, unless the VM has left.
    if (settlement.kind === 'stays') this.#parts.guest.qmp.close();
    this.#port.settle(settlement);
  }
}
