/**
 * What the source tells about how far it is.
 *
 * Owns: the latest numbers, and how often they are told. Must hold: `percent` never falls.
 */
import { SYSTEM_CLOCK } from '../base/clock.ts';
import { PAGE_SIZE } from '../base/page.ts';
import type { Decision } from './decision.ts';
import type { DiskCopies } from './disk-copies.ts';
import { explainLateDisks } from './finish-by.ts';
import { progressPercent } from './percent.ts';
import type { Prediction } from './prediction.ts';
import type { MigrationEvent, SourcePhase, Verdict } from './progress.ts';
import type { RoundReport } from './report.ts';

/** Often enough for a rate that moves before one's eyes, seldom enough to cost nothing. */
export const PROGRESS_EVERY_MS = 400;

export interface SourceProgressPort {
  emit(event: MigrationEvent): void;
  readonly ramBytes: number;
  /** Pages that hold data when the migration begins. */
  readonly dataPages: number;
  phase(): SourcePhase;
  sentBytes(): number;
  throttlePercent(): number;
  connected(): boolean;
  /** The latest; null before there is one. */
  prediction(): Prediction | null;
  /** Since the migration was asked for. */
  elapsedMs(): number;
  /** 0: no such promise. */
  finishByMs(): number;
  /** Those that are copied. */
  disks(): Pick<DiskCopies, 'bytesPerSecond' | 'leftBytes' | 'progress'>;
}

export class SourceProgress {
  readonly #port: SourceProgressPort;
  #percent = 0;
  #verdict: Verdict = { kind: 'starting', text: 'Asking the destination' };
  #isWaiting = false;
  #round = 0;
  #remainingPages: number;
  #bytesPerSecond = 0;
  #dirtyBytesPerSecond = 0;
  #decidedEtaMs: number | null = null;
  /** When pushing began, and with how many pages. */
  #pushing: { readonly atMs: number; readonly pages: number } | null = null;
  #predictedDowntimeMs: number | null = null;
  #toldAtMs = Number.NEGATIVE_INFINITY;
  #last = { atMs: 0, bytes: 0 };

  constructor(port: SourceProgressPort) {
    this.#port = port;
    this.#remainingPages = port.dataPages;
  }

  /** The destination has said that it is not ready yet. */
  get isWaiting(): boolean {
    return this.#isWaiting;
  }

  phaseChanged(): void {
    this.#port.emit({ kind: 'phaseChanged', phase: this.#port.phase(), atMs: Date.now() });
    this.tell();
  }

  roundEnded(round: RoundReport, decision: Decision): void {
    this.#dirtyBytesPerSecond = round.modificationPagesPerSecond * PAGE_SIZE;
    this.#decidedEtaMs = decision.etaMs;
    this.#predictedDowntimeMs = decision.predictedDowntimeMs;
  }

  copying(round: number, remainingPages: number, verdict: Verdict): void {
    this.#round = round;
    this.#remainingPages = remainingPages;
    const isNews = (verdict.kind === 'ready') !== (this.#verdict.kind === 'ready');
    // Who reads a log or comes later sees it, too.
    if (verdict.kind === 'switching' && this.#verdict.kind !== 'switching') {
      this.#port.emit({ kind: 'noted', level: 'info', text: verdict.text });
    }
    this.#verdict = verdict;
    if (isNews) this.tell();
    else this.#tellSometimes();
  }

  copyingDisks(): void {
    const disks = this.#port.disks().progress.map(({ name, totalBytes, copiedBytes }) => {
      return `${name} ${totalBytes > 0 ? Math.floor((100 * copiedBytes) / totalBytes) : 0} %`;
    });
    const late = explainLateDisks(this.#port.finishByMs(), this.#port.elapsedMs(), this.#disksEtaMs());
    const text = `Copying disks: ${disks.join(', ')}`;
    this.#verdict = { kind: 'disks', text: late === null ? text : `${text}; ${late}` };
    this.#tellSometimes();
  }

  paging(remainingPages: number): void {
    this.#remainingPages = remainingPages;
    this.#pushing ??= { atMs: SYSTEM_CLOCK.nowMs(), pages: remainingPages };
    this.tell();
  }

  /** Before post-copy, of which nothing is known but that it can begin. */
  ready(): void {
    this.#verdict = { kind: 'ready', text: 'Ready to switch over, and held until it is told to go on' };
    this.tell();
  }

  say(verdict: Verdict): void {
    this.#verdict = verdict;
  }

  /** The destination is not ready; it is asked again. */
  waitFor(reason: string): void {
    this.#isWaiting = true;
    this.#verdict = { kind: 'starting', text: `Waiting for the destination: ${reason}` };
    this.tell();
  }

  tell(): void {
    const { ramBytes, dataPages } = this.#port;
    const phase = this.#port.phase();
    this.#toldAtMs = SYSTEM_CLOCK.nowMs();
    this.#measureRate();
    const remainingPages = this.#remainingPages;
    const { leftBytes, progress: disks } = this.#port.disks();
    const diskPages = disks.reduce((sum, { totalBytes }) => sum + totalBytes, 0) / PAGE_SIZE;
    this.#percent = progressPercent(this.#percent, {
      phase,
      remainingPages: remainingPages + leftBytes / PAGE_SIZE,
      totalPages: dataPages + diskPages,
    });
    this.#port.emit({
      kind: 'progressed',
      progress: {
        phase,
        round: this.#round,
        percent: this.#percent,
        sentBytes: this.#port.sentBytes(),
        remainingBytes: remainingPages * PAGE_SIZE + leftBytes,
        ramBytes,
        bytesPerSecond: this.#bytesPerSecond,
        // Of the other host's VM nothing is known here.
        dirtyBytesPerSecond: this.#pushing ? 0 : this.#dirtyBytesPerSecond,
        throttlePercent: this.#port.throttlePercent(),
        etaMs: this.#etaMs(phase),
        predictedDowntimeMs: this.#predictedDowntimeMs,
        prediction: this.#port.prediction(),
        waitingFor: this.#port.connected() ? null : 'connection',
        isReady: phase === 'copying' && this.#verdict.kind === 'ready',
        disks,
        verdict: this.#verdict,
      },
    });
  }

  /** By the prediction, by what pushing has taken so far, or else by the last decision. */
  #etaMs(phase: SourcePhase): number | null {
    if (this.#pushing) {
      const { atMs, pages } = this.#pushing;
      const pushed = pages - this.#remainingPages;
      return pushed > 0 ? ((SYSTEM_CLOCK.nowMs() - atMs) * this.#remainingPages) / pushed : null;
    }
    if (this.#verdict.kind === 'disks') return this.#disksEtaMs();
    if (this.#verdict.kind === 'ready') return null;
    const prediction = phase === 'preparing' || phase === 'copying' ? this.#port.prediction() : null;
    if (!prediction || prediction.ending === 'giveUp') return this.#decidedEtaMs;
    return Math.max(0, prediction.totalMs.expected - this.#port.elapsedMs());
  }

  /** Memory goes over the same link afterwards. */
  #disksEtaMs(): number | null {
    const { bytesPerSecond, leftBytes } = this.#port.disks();
    if (bytesPerSecond <= 0) return null;
    return ((leftBytes + this.#port.dataPages * PAGE_SIZE) * 1000) / bytesPerSecond;
  }

  #tellSometimes(): void {
    if (SYSTEM_CLOCK.nowMs() - this.#toldAtMs >= PROGRESS_EVERY_MS) this.tell();
  }

  /** Over the time since the last measurement, if that is long enough to mean something. */
  #measureRate(): void {
    const atMs = SYSTEM_CLOCK.nowMs();
    const bytes = this.#port.sentBytes();
    const ms = atMs - this.#last.atMs;
    if (ms < PROGRESS_EVERY_MS / 2) return;
    if (this.#last.atMs > 0) this.#bytesPerSecond = (Math.max(0, bytes - this.#last.bytes) * 1000) / ms;
    this.#last = { atMs, bytes };
  }
}
