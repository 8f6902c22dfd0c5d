/**
 * The page channels of one migration at the destination: threads that put pages in place as they come.
 *
 * Owns: the threads, and the memory that they share. Must hold: `reached` resolves when every frame that was sent before
 * is in place; what went wrong first is told, once.
 */
import { GodwitError } from '../base/errors.ts';
import { MAX_PAGE_CHANNELS, type PageRun } from '../base/page.ts';
import { PageBitmap } from '../base/page-bitmap.ts';
import { closeFd } from '../linux/socket.ts';
import type { SharedContents } from '../memory/content-store.ts';
import { type DigestScheme, DigestSum } from '../memory/digest.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import { makeMissing } from '../memory/missing-pages.ts';
import { closedBy } from '../transfer/connection.ts';
import { type ArrivalNews, ArrivalThread } from './arrival-thread.ts';
import {
  type ArrivalOrder,
  type ArrivalPaging,
  ArrivalWords,
  type ArrivingMemory,
  createArrivalWords,
  createArrivingMemory,
  type ElsewhereInput,
} from './arrival-words.ts';
import { FrameCount } from './frame-count.ts';
import type { PushedPages } from './paging-tally.ts';
import type { ThreadRole } from './thread-priority.ts';

export interface ArrivalsOptions {
  readonly peer: string;
  readonly verify: DigestScheme | null;
  /** The first frame has come. */
  onBegin(): void;
  /** Now and then while frames come. */
  onProgress(): void;
  /** No page is missing any more. */
  onAllPresent(): void;
  /** Of missing pages these were only named, and they are not here. */
  onNotHeld(runs: readonly PageRun[]): void;
  onLost(reason: GodwitError): void;
  /** A page could not be put in its place, or a thread has died. */
  onFailed(error: GodwitError): void;
}

/** What the main connection carries at the end of a migration comes a moment after the page channels have ended. */
const LAST_WORDS_MS = 500;

export class Arrivals {
  readonly #options: ArrivalsOptions;
  readonly #shared = createArrivalWords();
  readonly #words = new Int32Array(this.#shared.words);
  readonly #threads: ArrivalThread[] = [];
  /** Orders that a thread which starts later must have, too. */
  readonly #standing: ArrivalOrder[] = [];
  #pages: { readonly received: PageBitmap; readonly missed: PageBitmap; readonly untold: PageBitmap } | undefined;
  readonly #frames = new FrameCount(this.#words);
  #hasBegun = false;
  #isStopped = false;
  /** Counts on when the source dials anew. */
  #generation = 0;

  constructor(options: ArrivalsOptions) {
    this.#options = options;
  }

  /** Starts so many threads, before their connections come: it takes long. */
  prepare(count: number): void {
    for (let i = 0; i < count; i++) this.#start();
  }

  /** Pages with content that came, and missing ones that are zero. */
  get receivedPages(): number {
    return Atomics.load(this.#words, ArrivalWords.pages);
  }

  get bytes(): number {
    return Number(Atomics.load(new BigInt64Array(this.#shared.receivedBytes), 0));
  }

  /** Pages that the source has only named and that have not come. */
  get missedPages(): number {
    return this.#pages?.missed.count() ?? 0;
  }

  /** QEMU is there: pages may come. */
  open(memory: Pick<GuestMemory, 'layout' | 'ownPaths'>): void {
    const { layout } = memory;
    const arriving: ArrivingMemory = createArrivingMemory(layout.toJSON(), memory.ownPaths(), layout.pageCount);
    const set = (buffer: SharedArrayBuffer): PageBitmap => new PageBitmap(layout.pageCount, buffer);
    this.#pages = {
      received: set(arriving.received),
      missed: set(arriving.missed),
      untold: set(arriving.untoldMissed),
    };
    this.#order({ kind: 'memory', memory: arriving });
  }

  /** The source may name pages that are in here. */
  hold(contents: SharedContents): void {
    this.#order({ kind: 'held', contents });
  }

  /** The source may name pages of other VMs that come or came here. */
  share(elsewhere: ElsewhereInput): void {
    this.#order({ kind: 'share', elsewhere });
  }

  /** Pages are missing from now on. */
  page(paging: ArrivalPaging): void {
    this.#order({ kind: 'paging', paging });
  }

  become(priority: ThreadRole): void {
    for (const thread of this.#threads) thread.order({ kind: 'priority', priority });
  }

  /** For one more connection. */
  get hasRoom(): boolean {
    return !this.#isStopped && this.#threads.filter(({ isLinked }) => isLinked).length < MAX_PAGE_CHANNELS;
  }

  /** A further connection; the descriptor is ours. @throws GW_WIRE_CLOSED where there is no room for it */
  add(fd: number): void {
    if (!this.hasRoom) {
      closeFd(fd);
      throw closedBy(
        this.#options.peer,
        `there are ${MAX_PAGE_CHANNELS} page channels already, or no more pages can come`,
      );
    }
    const thread = this.#threads.find(({ isLinked, isGone }) => !isLinked && !isGone) ?? this.#start();
    thread.link(fd);
  }

  /** The source dials anew: connections that come now replace those that are there. */
  replace(): void {
    this.#generation++;
    for (const thread of this.#threads) thread.isLinked = false;
  }

  /** Resolves when so many frames are in place, of all that came on all channels. */
  reached(frames: number): Promise<void> {
    return this.#frames.reached(frames);
  }

  /**
   * Pages whose contents other VMs were to bring have come, or do not come soon. No frame may be on its way.
   * @returns how many milliseconds that took
   */
  async settleAwaited(): Promise<number> {
    if (Atomics.load(this.#words, ArrivalWords.awaitedPages) === 0) return 0;
    const fromMs = performance.now();
    await Promise.all(this.#threads.map((thread) => thread.settleAwaited()));
    return performance.now() - fromMs;
  }

  /** Pages that the source has named and that could not be found, since this was asked last. No frame may be on its way. */
  takeMissed(): readonly PageRun[] {
    const untold = this.#pages?.untold;
    if (!untold || untold.isEmpty()) return [];
    const runs = untold.runs();
    untold.clear();
    return runs;
  }

  /** The pages are missing from now on, whatever came for them. No frame may be on its way. @throws GW_SYS_UNSUPPORTED */
  forget(runs: readonly PageRun[], memory: GuestMemory): void {
    const { received, missed } = this.#pages!;
    makeMissing(memory, runs, received);
    for (const { first, count } of runs) missed.releaseRun(first, count);
  }

  /** All that the source had to send is in place: who sends more breaks the protocol, if no pages are missing. */
  seal(): void {
    Atomics.store(this.#words, ArrivalWords.isSealed, 1);
  }

  /** What was installed of missing pages by all threads; without a digest where one of them has died. */
  async statistics(): Promise<PushedPages> {
    const all = await Promise.all(this.#threads.map((thread) => thread.tell()));
    const digest = new DigestSum();
    let pages = 0;
    for (const each of all) {
      if (!each) continue;
      pages += each.pages;
      digest.addWords(each.digest.pages, each.digest.words);
    }
    return { pages, digest: all.includes(null) ? null : digest };
  }

  /** Ends the threads, and with them the connections. Resolves when they have ended. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#threads.map((thread) => thread.stop()));
  }

  #start(): ArrivalThread {
    const { peer, verify } = this.#options;
    const thread = new ArrivalThread({ ...this.#shared, peer, verify }, (report) => this.#hear(report));
    for (const order of this.#standing) thread.order(order);
    this.#threads.push(thread);
    return thread;
  }

  #order(order: ArrivalOrder): void {
    this.#standing.push(order);
    for (const thread of this.#threads) thread.order(order);
  }

  #hear(report: ArrivalNews): void {
    if (this.#isStopped) return;
    switch (report.kind) {
      case 'begun':
        if (!this.#hasBegun) this.#options.onBegin();
        this.#hasBegun = true;
        return;
      case 'progress':
        this.#options.onProgress();
        return;
      case 'reached':
        this.#frames.look();
        return;
      case 'allPresent':
        this.#options.onAllPresent();
        return;
      case 'notHeld':
        this.#options.onNotHeld(report.runs);
        return;
      case 'linkLost':
        this.#lose(GodwitError.fromBody(report.error));
        return;
      case 'failed':
        this.#options.onFailed(GodwitError.fromBody(report.error));
        return;
    }
  }

  /**
   * A connection that has ended may have taken frames with it that count as sent. If the migration ends the main
   * connection says so in a moment; otherwise all begins anew with other connections.
   */
  #lose(reason: GodwitError): void {
    const generation = this.#generation;
    setTimeout(() => {
      if (!this.#isStopped && this.#generation === generation) this.#options.onLost(reason);
    }, LAST_WORDS_MS).unref();
  }
}
