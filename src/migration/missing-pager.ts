/**
 * The destination after the switchover: pages that are missing come by fault and by push (V5, V6).
 *
 * Owns: the set of missing pages, the fault service's thread, and what is counted of both ways. Pages that are pushed are
 * installed by the threads of the page channels.
 * Must hold: the fault service runs before QEMU loads its state, because loading touches pages; a page is installed
 * once (page-installer.ts); everything is present only when both ways say so.
 */
import type { Worker } from 'node:worker_threads';
import { SYSTEM_CLOCK } from '../base/clock.ts';
import { GodwitError } from '../base/errors.ts';
import type { PageRun } from '../base/page.ts';
import { PageBitmap } from '../base/page-bitmap.ts';
import { EventFd } from '../linux/poll.ts';
import { closeFd } from '../linux/socket.ts';
import type { DigestScheme, MemoryDigest } from '../memory/digest.ts';
import { createMissingPages, PageInstaller } from '../memory/page-installer.ts';
import type { ArrivalPaging } from './arrival-words.ts';
import { startThread } from './child-threads.ts';
import type { DestinationGuest } from './destination-guest.ts';
import type { FaultOrder, FaultReport, FaultStatistics, FaultWorkerInput } from './fault-worker-words.ts';
import { PagingTally, type PushedPages } from './paging-tally.ts';
import type { PostCopyReport } from './report.ts';

export interface MissingPagerPort {
  /** For the threads of the page channels, which install what is pushed. */
  share(paging: ArrivalPaging): void;
  /** What these have installed; asked for when nothing is missing any more. */
  pushed(): Promise<PushedPages>;
  onLinkLost(reason: GodwitError): void;
  onAllPresent(): void;
  onFailed(error: GodwitError): void;
}

export class MissingPager {
  readonly #guest: DestinationGuest;
  readonly #port: MissingPagerPort;
  readonly #verify: DigestScheme | null;
  readonly #isTakenUp: boolean;
  readonly #pages: ReturnType<typeof createMissingPages>;
  readonly #installer: PageInstaller;
  readonly #expected: PageBitmap;
  #expectedPages = 0;
  readonly #control = EventFd.create();
  readonly #worker: Worker;
  readonly #ready = Promise.withResolvers<void>();
  readonly #rehearsed = Promise.withResolvers<void>();
  readonly #stopped = Promise.withResolvers<FaultStatistics>();
  #begunMs = 0;
  readonly #tally = new PagingTally();
  #isAllPresent = false;
  #isStopped = false;
  #reconnects = 0;

  /**
   * @param missing - after a restart, what is missing still: known before any fault is answered, because a fault on
   *   another page is answered with zeros
   */
  constructor(
    guest: DestinationGuest,
    verify: DigestScheme | null,
    port: MissingPagerPort,
    missing?: readonly PageRun[],
  ) {
    this.#guest = guest;
    this.#port = port;
    this.#verify = verify;
    this.#isTakenUp = missing !== undefined;
    const { layout } = guest.memory;
    this.#pages = createMissingPages(layout.pageCount);
    this.#expected = new PageBitmap(layout.pageCount);
    const { uffd, insideFd } = guest.watchMissing();
    this.#installer = new PageInstaller(this.#pages, layout, guest.starts, uffd);
    this.expect(missing ?? []);
    port.share({ pid: guest.identity.pid, insideFd, starts: guest.starts, pages: this.#pages });
    const input: FaultWorkerInput = {
      pid: guest.identity.pid,
      insideFd,
      layout: layout.toJSON(),
      starts: guest.starts,
      pages: this.#pages,
      controlFd: this.#control.fd,
      verify,
    };
    this.#worker = startThread({
      module: 'fault-worker',
      input,
      stop: () => this.stop(),
    });
    this.#worker.on('message', (report: FaultReport) => this.#hear(report));
    this.#worker.on('error', (cause) => {
      this.#port.onFailed(new GodwitError('GW_INTERNAL', { reason: 'the fault service died' }, { cause }));
    });
    this.#worker.on('exit', () => {
      this.#ready.resolve();
      this.#rehearsed.resolve();
      this.#stopped.resolve(this.#tally.faults);
      this.#control[Symbol.dispose]();
      this.#isStopped = true;
    });
  }

  /** Resolves when faults are answered (or never will be: then `onFailed` has told). */
  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  /** Resolves when faults are answered quickly: the VM may be stopped. */
  get rehearsed(): Promise<void> {
    return this.#rehearsed.promise;
  }

  get expectedPages(): number {
    return this.#expectedPages;
  }

  get remaining(): number {
    return this.#installer.remaining;
  }

  get reconnects(): number {
    return this.#reconnects;
  }

  get wireBytes(): number {
    return this.#tally.faults.wireBytes;
  }

  expectedRuns(): PageRun[] {
    return this.#expected.runs();
  }

  missingRuns(): PageRun[] {
    return this.#installer.missing.runs();
  }

  /** Pages that the source has and we do not. */
  expect(runs: readonly PageRun[]): void {
    this.#expected.addRuns(runs);
    // Counted here, because it is asked for while the VM stands still.
    this.#expectedPages = this.#expected.count();
    this.#installer.expect(runs);
  }

  /** The VM is about to run. */
  begin(): void {
    this.#begunMs = SYSTEM_CLOCK.nowMs();
    this.checkAllPresent();
  }

  /** A new urgent connection, which is the fault service's from now on. */
  useLink(fd: number): void {
    this.#order({ kind: 'link', fd });
  }

  countReconnect(): void {
    this.#reconnects++;
  }

  /** Pages that came with the device state; `null` for zero pages. Returns how many were missing. */
  install(runs: readonly PageRun[], data: Uint8Array | null, digests?: Uint8Array): number {
    const installed = this.#installer.install(runs, data, digests);
    this.#tally.pushedPages += installed;
    this.checkAllPresent();
    return installed;
  }

  /** Somebody has installed what seemed to be the last page: there may be more by now. */
  checkAllPresent(): void {
    if (this.#installer.remaining === 0) this.#tellAllPresent();
  }

  /** What the source is told with `allPresent`. */
  statistics(): Omit<PostCopyReport, 'missingPages' | 'reconnects'> {
    return this.#tally.statistics();
  }

  /**
   * Of the pages that were missing, each as it was installed; when the fault service has ended. null without
   * `--verify`, and after a restart: nobody knows any more what the process before this one installed.
   */
  digest(): MemoryDigest | null {
    if (this.#verify === null || this.#isTakenUp) return null;
    return this.#tally.digest(this.#verify, this.#installer.digest);
  }

  report(): PostCopyReport {
    return { missingPages: this.expectedPages, ...this.statistics(), reconnects: this.#reconnects };
  }

  /** Ends the fault service once nothing is missing, after the registration has ended. */
  async end(): Promise<void> {
    this.stop();
    this.#tally.faults = await this.#stopped.promise;
  }

  stop(): void {
    this.#order({ kind: 'stop' });
  }

  #order(order: FaultOrder): void {
    if (!this.#isStopped) {
      this.#worker.postMessage(order);
      this.#control.signal();
    } else if (order.kind === 'link') closeFd(order.fd);
  }

  #hear(report: FaultReport): void {
    switch (report.kind) {
      case 'ready':
        this.#ready.resolve();
        return;
      case 'rehearsed':
        this.#rehearsed.resolve();
        return;
      case 'allPresent':
        this.checkAllPresent();
        return;
      case 'linkLost':
        this.#rehearsed.resolve();
        this.#port.onLinkLost(new GodwitError('GW_WIRE_CLOSED', { peer: 'urgent', reason: report.reason }));
        return;
      case 'failed':
        this.#port.onFailed(GodwitError.fromBody(report.error));
        return;
      case 'stopped':
        this.#tally.faults = report.statistics;
        return;
    }
  }

  /**
   * The fault service ends first: it may just be answering a fault on a page that was never missing, which it cannot
   * once the registration is gone. Who faults in between is woken by the end of the registration.
   */
  #tellAllPresent(): void {
    if (this.#isAllPresent || this.#begunMs === 0) return;
    this.#isAllPresent = true;
    this.#tally.residentMs = SYSTEM_CLOCK.nowMs() - this.#begunMs;
    this.stop();
    Promise.all([this.#port.pushed(), this.#stopped.promise])
      .then(([pushed]) => {
        this.#tally.addPushed(pushed);
        this.#guest.endWatching();
        this.#port.onAllPresent();
      })
      .catch((cause: unknown) => this.#port.onFailed(new GodwitError('GW_INTERNAL', { reason: 'page-in' }, { cause })));
  }
}
