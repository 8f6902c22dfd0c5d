/**
 * The source after the switchover: pages on demand and in the background (V5, V6).
 *
 * Owns: which pages the destination is still owed, the page server's thread, and the background pushing over the page
 * channels, in the order of push-order.ts. After a reconnect both start anew from the destination's own list of what
 * it misses.
 * Must hold: urgent pages never wait for pushed ones (another connection, and little is queued on this one); what
 * served a connection that is lost takes no page of the list that came after it.
 */
import type { Worker } from 'node:worker_threads';
import { SYSTEM_CLOCK } from '../base/clock.ts';
import { GodwitError } from '../base/errors.ts';
import type { PageRun } from '../base/page.ts';
import { PageBitmap } from '../base/page-bitmap.ts';
import { EventFd } from '../linux/poll.ts';
import type { DigestScheme } from '../memory/digest.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import type { PageHeat } from '../memory/page-heat.ts';
import type { Connection } from '../transfer/connection.ts';
import type { Pacer } from '../transfer/pacer.ts';
import type { Packing } from '../transfer/packing.ts';
import { startThread } from './child-threads.ts';
import { FaultWindow, FULL_WINDOW_PAGES } from './fault-window.ts';
import type { PageCarrier } from './page-channels.ts';
import { PageSender } from './page-sender.ts';
import {
  createPageServerShared,
  faultsIn,
  type PageServerInput,
  type PageServerReport,
  PageServerShared,
} from './page-server-words.ts';
import { PushOrder } from './push-order.ts';
import { PushPace } from './push-pace.ts';

export interface PagePusherOptions {
  readonly memory: GuestMemory;
  /** Paths of the RAM files, for the page server's own descriptors. */
  readonly files: readonly string[];
  readonly pacer: Pacer;
  readonly verify: DigestScheme | null;
  readonly roundTripMs: number;
  readonly channels: PageCarrier;
  packing(): Packing | undefined;
  onLinkLost(reason: GodwitError): void;
  onFailed(error: GodwitError): void;
}

const STEPS_AT_ONCE = 2;

export class PagePusher {
  readonly #options: PagePusherOptions;
  /** Shared with the page server, as the words are. */
  #owed: PageBitmap;
  #words = createPageServerShared(FULL_WINDOW_PAGES);
  #faults = faultsIn(this.#words);
  #order: PushOrder;
  /** They are not named again. */
  readonly #unheld: PageBitmap;
  #sender: PageSender | undefined;
  #server: { worker: Worker; control: EventFd } | undefined;
  #pushing: { readonly connection: Connection; readonly abort: AbortController } | undefined;
  #earlierUrgentBytes = 0;

  constructor(options: PagePusherOptions) {
    this.#options = options;
    const { pageCount } = options.memory.layout;
    this.#owed = PageBitmap.shared(pageCount);
    this.#unheld = new PageBitmap(pageCount);
    this.#order = new PushOrder(this.#owed, null);
  }

  get owedPages(): number {
    return this.#owed.count();
  }

  /** Bytes of the urgent connections, both directions. */
  get urgentBytes(): number {
    return this.#earlierUrgentBytes + Atomics.load(this.#words, PageServerShared.wireBytes256) * 256;
  }

  /**
   * Pages that the destination misses.
   * @param heat - how hot pages were while the VM ran here, if that was looked at
   */
  owe(runs: readonly PageRun[], heat: PageHeat | null = null): void {
    this.#owed.addRuns(runs);
    this.#order = new PushOrder(this.#owed, heat);
  }

  /** The destination does not hold these pages, which were only named. `push` goes on with them, if it has ended. */
  missed(runs: readonly PageRun[]): void {
    this.#unheld.addRuns(runs);
    for (const { first, count } of runs) this.#owed.claimRun(first, count); // the page server clears bits meanwhile
    this.#sender?.miss(runs);
  }

  /** The destination's word after a reconnect: only these are missing, whatever was sent before. */
  oweOnly(runs: readonly PageRun[]): void {
    this.#owed.clear();
    this.#owed.addRuns(runs);
    this.#order.restart(this.#owed);
  }

  /**
   * Answers requests that come over the descriptor, which is the page server's from now on.
   * Resolves when it is listening: starting a thread takes longer than a VM may wait. Rejects when it fails before that.
   */
  serve(urgentFd: number): Promise<void> {
    this.#stopServer();
    this.#renewShared();
    const control = EventFd.create();
    const input: PageServerInput = {
      fd: urgentFd,
      controlFd: control.fd,
      layout: this.#options.memory.layout.toJSON(),
      files: this.#options.files,
      owed: this.#owed.words.buffer as SharedArrayBuffer,
      shared: this.#words.buffer,
      verify: this.#options.verify,
      hostBudget: this.#options.pacer.host.buffer,
    };
    const stop = (thread: Worker): void => {
      thread.postMessage('stop');
      control.signal();
    };
    const worker = startThread({ module: 'page-server', input, stop });
    const server = { worker, control };
    this.#server = server;
    const ready = Promise.withResolvers<void>();
    let isReady = false;
    const fail = (error: GodwitError): void => {
      if (isReady) this.#options.onFailed(error);
      else ready.reject(error);
    };
    worker.on('message', (report: PageServerReport) => {
      if (this.#server !== server) return;
      if (report.kind === 'ready') {
        isReady = true;
        ready.resolve();
      } else if (report.kind === 'failed') fail(GodwitError.fromBody(report.error));
      // With nothing owed the destination has closed it, or tells us by closing the main connection too.
      else if (!this.#owed.isEmpty())
        this.#options.onLinkLost(new GodwitError('GW_WIRE_CLOSED', { peer: 'urgent', reason: report.reason }));
    });
    worker.on('error', (cause) => {
      fail(new GodwitError('GW_INTERNAL', { reason: 'the page server died' }, { cause }));
    });
    worker.on('exit', () => {
      if (this.#server === server) this.#forgetServer();
      control[Symbol.dispose]();
      ready.resolve();
    });
    return ready.promise;
  }

  /** Pushes until nothing is owed, the connection is lost or `stop` is called; resolves then. */
  async push(connection: Connection): Promise<void> {
    // The destination says again that the VM runs when it is asked again: the pushing goes on as it is.
    if (this.#pushing?.connection === connection) return;
    this.#pushing?.abort.abort();
    const pushing = { connection, abort: new AbortController() };
    this.#pushing = pushing;
    try {
      await this.#pushAll(connection, pushing.abort.signal);
    } catch (error) {
      // A step that was under way fails with its connection.
      if (!pushing.abort.signal.aborted && !connection.isClosed) throw error;
    } finally {
      if (this.#pushing === pushing) this.#pushing = undefined;
    }
  }

  /** Ends pushing and serving; what is owed stays owed. */
  stop(): void {
    this.#pushing?.abort.abort();
    this.#pushing = undefined;
    this.#stopServer();
  }

  async #pushAll(connection: Connection, signal: AbortSignal): Promise<void> {
    const { channels, pacer, verify } = this.#options;
    const sender = new PageSender(channels, pacer, this.#options.packing());
    this.#sender = sender;
    const window = new FaultWindow(SYSTEM_CLOCK.nowMs());
    const pace = new PushPace(channels, pacer, this.#options.roundTripMs);
    const steps = new Set<Promise<void>>();
    let failure: unknown;
    for (;;) {
      // One is packed while another one is sent; more would be claimed before there is room for them.
      if (steps.size >= Math.max(1, Math.min(STEPS_AT_ONCE, channels.openCount))) await Promise.race(steps);
      await pace.room(() => connection.isClosed || signal.aborted);
      if (failure) throw failure;
      // Right before the claim: what is claimed here now would be missing on the connection that came instead.
      if (signal.aborted || connection.isClosed) return;
      const runs = this.#claim(pace.stepPages);
      if (runs.length === 0) {
        if (steps.size === 0) break;
        // What is on its way may come back as not held.
        await Promise.race(steps);
        continue;
      }
      const step = sender
        .send(runs, { signal, awaited: true, digest: verify, mayName: verify || this.#isUnheld(runs) ? null : 'held' })
        .then((sent) => {
          window.learn(sent, SYSTEM_CLOCK.nowMs());
          Atomics.store(this.#words, PageServerShared.window, window.pages);
        })
        .catch((error: unknown) => {
          failure ??= error;
        })
        .finally(() => steps.delete(step));
      steps.add(step);
    }
    if (failure) throw failure;
  }

  #isUnheld(runs: readonly PageRun[]): boolean {
    return runs.some(({ first, count }) => this.#unheld.runs(first, first + count).length > 0);
  }

  /** Takes up to so many owed pages; none only when nothing is owed. */
  #claim(pages: number): PageRun[] {
    for (const page of this.#faults.take()) this.#order.fault(page);
    return this.#order.take(pages);
  }

  /** A server that was told to stop may be in the middle of an answer: it ends with what it has, not with this. */
  #renewShared(): void {
    const owed = PageBitmap.shared(this.#owed.pageCount);
    owed.words.set(this.#owed.words);
    this.#owed = owed;
    this.#order.restart(owed);
    this.#words = createPageServerShared(this.#words[PageServerShared.window]!);
    this.#faults = faultsIn(this.#words);
  }

  #stopServer(): void {
    const server = this.#server;
    if (!server) return;
    this.#forgetServer();
    server.worker.postMessage('stop');
    server.control.signal();
  }

  #forgetServer(): void {
    this.#server = undefined;
    this.#earlierUrgentBytes += Atomics.exchange(this.#words, PageServerShared.wireBytes256, 0) * 256;
  }
}
