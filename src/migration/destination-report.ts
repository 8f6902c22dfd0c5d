/**
 * What the destination tells: how far it is, and the report of its side. The full report is the source's.
 */
import { SYSTEM_CLOCK } from '../base/clock.ts';
import type { ErrorBody } from '../base/errors.ts';
import { PAGE_SIZE } from '../base/page.ts';
import type { MemoryDigest } from '../memory/digest.ts';
import type { Message } from '../wire/messages.ts';
import type { MissingPager } from './missing-pager.ts';
import { DESTINATION_PHASES } from './phases.ts';
import type { DestinationPhase, MigrationEvent, Verdict } from './progress.ts';
import { type MigrationOutcome, type MigrationReport, NOTHING_TRACKED } from './report.ts';

const PROGRESS_EVERY_MS = 400;

const VERDICTS: Readonly<Partial<Record<DestinationPhase, Verdict>>> = {
  receiving: { kind: 'converging', text: 'Receiving pages' },
  loaded: { kind: 'finishing', text: 'The VM is loaded and waits for the source to give it away' },
  resuming: { kind: 'finishing', text: 'The VM is being resumed' },
  pagingIn: { kind: 'paging', text: 'The VM runs here; its last pages are still coming from the source' },
  done: { kind: 'finishing', text: 'The VM is here' },
};

export interface DestinationReportPort {
  readonly offer: Message<'offer'>;
  readonly hostName: string;
  readonly startedAt: number;
  emit(event: MigrationEvent): void;
  phase(): DestinationPhase;
  wireBytes(): number;
  pageCount(): number;
  receivedPages(): number;
  pager(): MissingPager | undefined;
  connected(): boolean;
}

export class DestinationReport {
  readonly #port: DestinationReportPort;
  readonly #startedMs = SYSTEM_CLOCK.nowMs();
  #percent = 0;
  #toldAtMs = Number.NEGATIVE_INFINITY;
  stateEnd: Message<'stateEnd'> | null = null;
  resumedAtMs: number | null = null;
  digest: MemoryDigest | null = null;
  interrupted = false;

  constructor(port: DestinationReportPort) {
    this.#port = port;
  }

  phaseChanged(): void {
    this.#port.emit({ kind: 'phaseChanged', phase: this.#port.phase(), atMs: Date.now() });
    this.tell();
  }

  tellSometimes(): void {
    if (SYSTEM_CLOCK.nowMs() - this.#toldAtMs >= PROGRESS_EVERY_MS) this.tell();
  }

  tell(): void {
    const port = this.#port;
    const nowMs = SYSTEM_CLOCK.nowMs();
    this.#toldAtMs = nowMs;
    const phase = port.phase();
    const ramPages = Math.max(1, port.pageCount());
    const part = phase === 'done' ? 1 : Math.min(0.99, port.receivedPages() / ramPages);
    this.#percent = Math.max(this.#percent, Math.floor(part * 100));
    const seconds = Math.max(0.001, (nowMs - this.#startedMs) / 1000);
    port.emit({
      kind: 'progressed',
      progress: {
        phase,
        round: 0,
        percent: this.#percent,
        sentBytes: port.wireBytes(),
        remainingBytes: (port.pager()?.remaining ?? 0) * PAGE_SIZE,
        ramBytes: port.pageCount() * PAGE_SIZE,
        bytesPerSecond: port.wireBytes() / seconds,
        dirtyBytesPerSecond: 0,
        throttlePercent: 0,
        etaMs: null,
        predictedDowntimeMs: null,
        prediction: null,
        waitingFor: port.connected() ? null : 'connection',
        isReady: false,
        disks: [],
        verdict: VERDICTS[phase] ?? { kind: 'starting', text: 'Preparing' },
      },
    });
  }

  make(outcome: MigrationOutcome, error: ErrorBody | null): MigrationReport {
    const { offer, hostName, startedAt } = this.#port;
    const end = this.stateEnd;
    const { digest, resumedAtMs } = this;
    const stoppedAtMs = end?.stoppedAtMs ?? null;
    const moved = end !== null && stoppedAtMs !== null && resumedAtMs !== null;
    return {
      id: offer.migrationId,
      vm: offer.vm.name,
      from: offer.sourceHost,
      to: hostName,
      mode: offer.mode,
      outcome,
      error,
      interrupted: this.interrupted,
      startedAt,
      totalMs: this.interrupted ? SYSTEM_CLOCK.wallMs() - startedAt : SYSTEM_CLOCK.nowMs() - this.#startedMs,
      downtimeMs: moved ? resumedAtMs - end.clockOffsetMs - stoppedAtMs : null,
      finishByMs: null,
      downtimeLimitMs: null,
      downtimeParts: null,
      wireBytes: this.#port.wireBytes(),
      ramBytes: this.#port.pageCount() * PAGE_SIZE,
      pages: { total: this.#port.pageCount(), hole: 0, zero: 0, sent: this.#port.receivedPages(), resent: 0 },
      disks: [],
      packing: null,
      tracker: NOTHING_TRACKED,
      diskRequests: [],
      rounds: [],
      prediction: null,
      throttle: { mechanism: 'none', maxPercent: 0, activeMs: 0 },
      postCopy: this.#port.pager()?.report() ?? null,
      verify: digest ? { scheme: digest.scheme, pages: digest.pages, equal: outcome === 'completed' } : null,
      announcements: null,
      hooks: [],
      owner: DESTINATION_PHASES[this.#port.phase()].owner === 'source' ? offer.sourceHost : hostName,
      clockUncertaintyMs: end?.clockUncertaintyMs ?? 0,
    };
  }
}
