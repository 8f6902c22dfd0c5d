/**
 * The page channels of one migration at the source: connections that carry pages side by side, each with its thread.
 *
 * Owns: the channels, and who gets the next batch. Must hold: a connection that fails is told once, and with it all fail;
 * nothing is sent over connections that were cut; what was sent and what waits in the kernel can be asked for at any moment.
 */
import type { GodwitError } from '../base/errors.ts';
import type { PageIndex } from '../base/page.ts';
import { closeFd } from '../linux/socket.ts';
import type { TcpBusy } from '../linux/tcp-info.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import type { RelayPort } from '../tls/relay-orders.ts';
import { closedBy } from '../transfer/connection.ts';
import type { HeldContents, SentElsewhere } from '../transfer/page-packer.ts';
import type { SentPagesShared } from '../transfer/sent-pages.ts';
import { type ChannelChange, ChannelThread, type PageChannel } from './page-channel-thread.ts';
import { createDelivered, type SendingShared, type SendOrder } from './page-channel-words.ts';
import type { ThreadRole } from './thread-priority.ts';

/** So many pages, beginning at a multiple of it, always go over the same channel: 256 KiB, so that few neighbours occupy all. */
export const PAGES_OF_ONE_CHANNEL = 64;

export interface PageChannelsOptions {
  readonly memory: Pick<GuestMemory, 'layout' | 'ownPaths'>;
  /** Threads that are started. */
  readonly count: number;
  readonly sent: SentPagesShared | null;
  /** Address of the other host, for messages. */
  readonly peer: string;
  /** Behind which its connections are; null: they are TCP connections themselves. */
  readonly tls: RelayPort | null;
  /** A connection broke. */
  onLost(reason: GodwitError): void;
  /** What no report holds. */
  note(text: string): void;
}

/** What page senders need of channels; a rehearsal has others. */
export interface PageCarrier {
  /** A channel with fewer than so many jobs, the one with the fewest; or this one. Waits for it. */
  free(depth: number, only?: PageChannel): Promise<PageChannel>;
  /** Always the same for a page, as long as no connection is lost: what is sent later arrives later. */
  channelOf(page: PageIndex): PageChannel;
  /** With a connection. */
  readonly openCount: number;
  readonly bytesSent: number;
  readonly unacknowledgedBytes: number;
}

interface Waiting {
  readonly depth: number;
  readonly only: PageChannel | undefined;
  readonly resolve: (channel: PageChannel) => void;
}

export class PageChannels implements PageCarrier, Disposable {
  readonly #options: PageChannelsOptions;
  readonly #shared: SendingShared;
  #threads: ChannelThread[] = [];
  /** Bytes of threads that have died. */
  #earlierBytes = 0;
  /** Orders that a thread which starts later must have, too. */
  readonly #standing: SendOrder[] = [];
  #waiting: Waiting[] = [];
  #open: readonly ChannelThread[] = [];
  #frames = 0;
  #isLost = true;
  #isOver = false;

  constructor(options: PageChannelsOptions) {
    this.#options = options;
    const { memory, sent } = options;
    const { layout } = memory;
    this.#shared = {
      layout: layout.toJSON(),
      files: memory.ownPaths(),
      delivered: createDelivered(layout.pageCount),
      sent,
    };
    for (let i = 0; i < options.count; i++) this.#start();
  }

  /** Connections that are wanted. */
  get count(): number {
    return this.#options.count;
  }

  get openCount(): number {
    return this.#open.length;
  }

  /** Sent over all connections since the migration began. */
  get frames(): number {
    return this.#frames;
  }

  get bytesSent(): number {
    return this.#threads.reduce((sum, thread) => sum + thread.bytesSent, this.#earlierBytes);
  }

  get unacknowledgedBytes(): number {
    return this.#open.reduce((sum, thread) => sum + thread.unacknowledgedBytes, 0);
  }

  /** Of each connection of now. */
  get busy(): TcpBusy[] {
    return this.#open.flatMap(({ busy }) => busy ?? []);
  }

  /** From now on pages go over these connections, as many as there are; the descriptors are the channels'. */
  link(fds: readonly number[]): void {
    this.cut();
    if (this.#isOver) {
      for (const fd of fds) closeFd(fd);
      return;
    }
    const rest = [...fds];
    try {
      while (this.#threads.length < fds.length) this.#start();
      for (const thread of this.#threads.slice(0, fds.length)) {
        thread.link(rest[0]!);
        rest.shift();
        this.#open = [...this.#open, thread];
      }
    } catch (error) {
      this.cut();
      for (const fd of rest) closeFd(fd);
      throw error;
    }
    this.#isLost = false;
    this.#serveWaiting();
  }

  /** The connections are of no use any more; what is being sent fails. */
  cut(): void {
    this.#isLost = true;
    for (const thread of this.#open) thread.cut();
    this.#open = [];
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const { resolve } of waiting) resolve(this.#lostChannel());
  }

  learn(held: HeldContents): void {
    this.#orderAll({ kind: 'held', ...held });
  }

  /** Pages may be named from now on that other VMs bring. */
  share(elsewhere: SentElsewhere): void {
    this.#orderAll({ kind: 'share', elsewhere });
  }

  become(priority: ThreadRole): void {
    for (const thread of this.#threads) thread.order({ kind: 'priority', priority });
  }

  free(depth: number, only?: PageChannel): Promise<PageChannel> {
    if (this.#isLost) return Promise.resolve(this.#lostChannel());
    const found = only ?? this.#leastBusy();
    if (found && found.jobs < depth) return Promise.resolve(found);
    return new Promise((resolve) => this.#waiting.push({ depth, only, resolve }));
  }

  channelOf(page: PageIndex): PageChannel {
    if (this.#isLost) return this.#lostChannel();
    return this.#open[Math.floor(page / PAGES_OF_ONE_CHANNEL) % this.#open.length]!;
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    this.cut();
    for (const thread of this.#threads) thread.stop();
  }

  #orderAll(order: SendOrder): void {
    this.#standing.push(order);
    for (const thread of this.#threads) thread.order(order);
  }

  #start(): void {
    const { peer, tls } = this.#options;
    const shared = { ...this.#shared, peer };
    const thread: ChannelThread = new ChannelThread(shared, tls, (change) => this.#hear(thread, change));
    for (const order of this.#standing) thread.order(order);
    this.#threads.push(thread);
  }

  #hear(thread: ChannelThread, change: ChannelChange): void {
    if (change.kind === 'noted') {
      this.#options.note(change.text);
      return;
    }
    if (change.kind === 'failed') {
      if (change.isGone && this.#threads.includes(thread)) {
        // Another one takes its place when there are connections again.
        this.#threads = this.#threads.filter((other) => other !== thread);
        this.#earlierBytes += thread.bytesSent;
      }
      if (!this.#open.includes(thread)) return;
      this.cut();
      this.#options.onLost(change.error);
      return;
    }
    this.#frames += change.frames;
    if (this.#open.includes(thread)) this.#serveWaiting();
  }

  /** One at a time: whoever has waited gives the channel a job before others are looked at. */
  #serveWaiting(): void {
    const least = this.#leastBusy();
    for (const [at, { depth, only, resolve }] of this.#waiting.entries()) {
      const found = only ?? least;
      if (!found || found.jobs >= depth) continue;
      this.#waiting.splice(at, 1);
      resolve(found);
      if (this.#waiting.length > 0) setImmediate(() => this.#serveWaiting());
      return;
    }
  }

  #leastBusy(): ChannelThread | undefined {
    let best: ChannelThread | undefined;
    for (const thread of this.#open) if (!best || thread.jobs < best.jobs) best = thread;
    return best;
  }

  #lostChannel(): PageChannel {
    const { peer } = this.#options;
    return { jobs: 0, send: () => Promise.reject(closedBy(peer, 'the connection is lost')) };
  }
}
