/**
 * The source until the VM is stopped: console, clocks, throttle, rounds, and telling what will be missing.
 *
 * Owns: the copying activity of one migration and its result. Must hold: it ends at once when its signal is aborted,
 * and leaves undoing to the caller.
 */
import { SYSTEM_CLOCK } from '../base/clock.ts';
import { GodwitError } from '../base/errors.ts';
import { countPages, type PageRun } from '../base/page.ts';
import { type HeldPages, readHeldPages } from '../memory/held-pages.ts';
import type { MigrationSettings } from '../qemu/migration-settings.ts';
import type { Pacer } from '../transfer/pacer.ts';
import { predictBefore } from './before-migration.ts';
import type { ConsoleCarrier } from './console-carrier.ts';
import { initialThrottle } from './convergence.ts';
import type { Copied } from './copied.ts';
import { copyRounds } from './copy-rounds.ts';
import type { CopyResult } from './copy-rounds-port.ts';
import { CopyWatch } from './copy-watch.ts';
import { PRIOR_COSTS } from './dirty-estimate.ts';
import { GroupCall } from './group-call.ts';
import type { Entrust } from './group-tracker.ts';
import type { HistoryFile } from './history-file.ts';
import type { Interruption } from './interruption.ts';
import { keepRound } from './kept-rounds.ts';
import { PageSender } from './page-sender.ts';
import type { Predictor } from './predictor.ts';
import { Readiness } from './readiness.ts';
import type { MigrationOptions } from './request.ts';
import type { SourceDisks } from './source-disks.ts';
import type { SourceGuest } from './source-guest.ts';
import { SourceHold } from './source-hold.ts';
import type { SourceLink } from './source-link.ts';
import type { SourcePacking } from './source-packing.ts';
import type { SourceProgress } from './source-progress.ts';
import type { SourceReport } from './source-report.ts';
import { SourceSlowdown } from './source-slowdown.ts';
import type { SourceVisit } from './source-visit.ts';
import { Patience } from './thread-priority.ts';
import type { ThrottleClock } from './throttle-clock.ts';

export interface SourceCopyingPort {
  readonly guest: SourceGuest;
  readonly disks: Pick<SourceDisks, 'copy' | 'mayCopy'>;
  readonly link: SourceLink;
  readonly pacer: Pacer;
  readonly packing: SourcePacking;
  readonly console: ConsoleCarrier;
  readonly history: HistoryFile;
  readonly predictor: Predictor;
  readonly visit: SourceVisit;
  readonly report: SourceReport;
  readonly progress: SourceProgress;
  readonly throttleClock: ThrottleClock;
  readonly signal: AbortSignal;
  readonly startedMs: number;
  options(): MigrationOptions;
  /** Nothing is copied before somebody interrupts the copying. */
  readonly waits: boolean;
  readonly entrust: Entrust;
  /** Writes down which settings of QEMU were found, before they are changed. */
  keepSettings(found: MigrationSettings): void;
  /** Tells whoever watches what no report holds. */
  note(text: string): void;
  /** Starts the threads that will serve missing pages: before the stop, because a thread takes long to start. */
  prepareServing(): Promise<void>;
}

/** Told apart from the rounds of pre-copy, which count from 1. */
const ANNOUNCEMENT_ROUND = 0;

export class SourceCopying {
  readonly #port: SourceCopyingPort;
  readonly #patience = new Patience();
  #interruption: Interruption | null = null;
  readonly #call = new GroupCall();
  #isPaused = false;
  readonly #hold: SourceHold;
  readonly #slowdown: SourceSlowdown;
  readonly #readiness: Readiness;

  constructor(port: SourceCopyingPort) {
    this.#port = port;
    this.#readiness = new Readiness(port.signal);
    this.#hold = new SourceHold(port);
    this.#slowdown = new SourceSlowdown(port);
  }
  /** Its QEMU is there: what has been copied before waits for it no more. */
  destinationIsReady(): void {
    this.#readiness.ready();
  }
  /** @param isAwaited - VMs of the other host wait for memory that this one holds until it stands */
  interrupt(how: Interruption, isAwaited = false): void {
    if (isAwaited) this.#patience.hurry();
    this.#interruption = how;
    this.#call.call();
    this.#hold.wake();
  }
  /** It is not held any more, or will not be. */
  go(): void {
    this.#hold.release();
  }
  /** The VM is to be stopped for as long as the rest takes. */
  get isPaused(): boolean {
    return this.#isPaused;
  }
  /** Predicts the migration, if it is known that no disk will be copied before. */
  foresee(): void {
    if (!this.#port.disks.mayCopy) predictBefore(this.#port);
  }

  run(): Promise<Copied> {
    this.#patience.begin();
    return this.#copy().finally(() => this.#patience.end());
  }

  async #copy(): Promise<Copied> {
    const { guest, link, pacer, packing, report, signal } = this.#port;
    const { channels } = packing;
    this.#checkFinishBy();
    if (this.#port.waits) await this.#call.wait(signal);
    // First: meanwhile the VM need not be slowed, nor pages sent that it writes again.
    await this.#port.disks.copy();
    if (this.#port.disks.mayCopy) predictBefore(this.#port);
    const opening = link.openPages(channels.count, (fds) => channels.link(fds), signal);
    channels.become(this.#patience.role);
    const clocks = link.compareClocks();
    // Awaited below; if something else fails first, nobody hears of them.
    for (const begun of [opening, clocks]) begun.catch(() => undefined);
    const peak = this.#port.history.peakPagesPerSecond(Date.now());
    const { mode, tracker } = this.#port.options();
    const asked = [
      guest.isRunning(),
      guest.prepareToSave((found) => this.#port.keepSettings(found)),
      mode === 'post-copy' ? null : guest.track(tracker, peak, this.#port.entrust),
    ] as const;
    // Whatever fails, all have ended before anything goes back: what is borrowed after that nobody gives back.
    await Promise.allSettled(asked);
    const [isRunning, , reason] = await Promise.all(asked);
    if (reason !== null) this.#port.note(reason);
    if (isRunning) {
      this.#slowdown.set(initialThrottle(peak, this.#port.options(), link.has('post-copy')));
    }
    // While the connections are opened.
    const dataRuns = mode === 'post-copy' ? [] : guest.memory.dataRuns();
    await opening;
    report.clock = await clocks;
    const { peer } = link.connection;
    using watch = new CopyWatch({
      link,
      channels,
      isReady: () => this.#readiness.isReady,
      onSuspect: (isSuspect) => this.#slowdown.suspect(peer, isSuspect),
    });
    const sender = new PageSender(packing.channels, pacer, packing.open('copy'));
    this.#readiness.onReady(() => this.#port.console.sendRest(link.connection, pacer));
    if (mode === 'post-copy') await this.#holdBack();
    const held = mode === 'post-copy' ? await readHeldPages(guest.memory) : null;
    const result = held ? this.#everything(sender, held) : await this.#copyRounds(sender, dataRuns, isRunning, watch);
    await this.#readiness.settled;
    this.#isPaused = result.isPaused;
    const announced = result.kind === 'postCopy' ? await watch.awaited(this.#announce(result.remaining)) : null;
    return { sender, result, announced, held, wasRunning: await guest.isRunning() };
  }

  #copyRounds(
    sender: PageSender,
    dataRuns: readonly PageRun[],
    isRunning: boolean,
    watch: CopyWatch,
  ): Promise<CopyResult> {
    const { guest, link, packing, signal, report, progress, history, predictor, visit } = this.#port;
    const { channels } = packing;
    return copyRounds(
      {
        guest,
        dataRuns,
        sender,
        signal,
        options: () => this.#port.options(),
        costs: PRIOR_COSTS,
        canPostCopy: link.has('post-copy'),
        startedMs: this.#port.startedMs,
        wasRunning: isRunning,
        endRound: async (round) => {
          const unreadyMs = await this.#readiness.wait(() => channels.unacknowledgedBytes === 0);
          const end = await watch.awaited(link.endRound(round, channels.frames, signal));
          return { ...end, waitedMs: end.waitedMs + unreadyMs };
        },
        linkCounts: () => {
          const { pages, zeroPages, leftOutPages } = sender.totals;
          const { bytesSent: sentBytes } = channels;
          const acknowledgedBytes = sentBytes - channels.unacknowledgedBytes;
          return { sentBytes, acknowledgedBytes, pages: pages + zeroPages, zeroPages, leftOutPages };
        },
        hold: this.#hold,
        interruption: () => this.#interruption,
        slow: (percent) => this.#slowdown.set(percent),
        onBegin: (holePages) => report.watchCopying(holePages, sender.totals),
        onRound: (round, decision) => {
          keepRound(report.rounds, round);
          // What groups of pages count as written says nothing of the VM.
          if (guest.trackerReport.kind !== 'groups') history.add(Date.now(), round);
          progress.roundEnded(round, decision);
        },
        onProgress: ({ round, remainingPages, decision, facts, watch }) => {
          this.#patience.reconsider();
          if (watch) predictor.consider(facts, watch, SYSTEM_CLOCK.nowMs());
          else visit.observe(facts);
          progress.copying(round, remainingPages, decision.verdict);
        },
      },
      SYSTEM_CLOCK,
    );
  }

  /** Pure post-copy: nothing is copied before. */
  async #holdBack(): Promise<void> {
    const { progress, signal, options } = this.#port;
    if (options().hold !== null) progress.ready();
    await this.#hold.waitWithoutRounds(() => this.#interruption !== null, signal);
  }

  /** Pure post-copy: every page with content is missing, so nothing needs to be tracked. */
  #everything(sender: PageSender, { runs: remaining }: HeldPages): CopyResult {
    const { guest, report } = this.#port;
    report.watchCopying(guest.layout.pageCount - countPages(remaining), sender.totals);
    return { kind: 'postCopy', isPaused: false, remaining, heat: null };
  }

  /** While the VM still runs: the destination prepares for what it will miss outside the downtime. */
  async #announce(runs: readonly PageRun[]): Promise<readonly PageRun[]> {
    const { link, packing, signal } = this.#port;
    await this.#port.prepareServing();
    await link.sendMissing(runs);
    await link.endRound(ANNOUNCEMENT_ROUND, packing.channels.frames, signal);
    return runs;
  }

  /** @throws GW_MIGRATION_REFUSED */
  #checkFinishBy(): void {
    const { guest, link } = this.#port;
    if (this.#port.options().finishByMs <= 0 || link.has('post-copy')) return;
    const reason = 'it cannot fetch missing pages, without which --finish-by cannot be guaranteed';
    throw new GodwitError('GW_MIGRATION_REFUSED', { host: link.connection.peer, vm: guest.vm.name, reason });
  }
}
