/**
 * Both ends of page channels with their real threads, over real sockets, from one scratch memory into another.
 *
 * Owns: memories, threads and sockets; `await using` ends them. Must hold: `send` comes back when everything is in place.
 */

import { randomUUID } from 'node:crypto';
import type { GodwitError } from '../../src/base/errors.ts';
import { PACKING_STEPS } from '../../src/base/packing-step.ts';
import { PAGE_SIZE, type PageRun } from '../../src/base/page.ts';
import { identifyProcess } from '../../src/linux/process.ts';
import type { ContentStore } from '../../src/memory/content-store.ts';
import { Arrivals } from '../../src/migration/arrivals.ts';
import { announceArrival } from '../../src/migration/arrived-memories.ts';
import { PageChannels } from '../../src/migration/page-channels.ts';
import { PageSender, type SendCounts, type SendOptions } from '../../src/migration/page-sender.ts';
import { Pacer } from '../../src/transfer/pacer.ts';
import type { Conditions } from '../../src/transfer/pack-ladder.ts';
import { NOTHING_PACKED, Packing } from '../../src/transfer/packing.ts';
import { migrationName, SentContents } from '../../src/transfer/sent-contents.ts';
import { createSentPages } from '../../src/transfer/sent-pages.ts';
import { ScratchMemory } from './scratch-memory.ts';
import { SocketPair } from './socket-pair.ts';

/** So slow that packing pays on the busiest machine. */
export const SLOW: Conditions = {
  bytesPerSecond: 1e6,
  isIdle: false,
  isPilingUp: false,
  busyBytesPerSecond: undefined,
  cpus: 2,
  nowMs: 0,
};
export const FAST: Conditions = {
  bytesPerSecond: 5e9,
  isIdle: false,
  isPilingUp: false,
  busyBytesPerSecond: undefined,
  cpus: 2,
  nowMs: 0,
};

export interface ChannelPairOptions {
  readonly channels: number;
  /** Pages of each region. */
  readonly regions: readonly number[];
  /** Pages of which the lines are remembered; all of them where it is not given. */
  readonly lines?: number;
  /** What all pairs of a test have sent (sent-contents.ts): pages of one may be named for another. */
  readonly sentContents?: SharedArrayBuffer;
  /** Every page goes as it is. */
  readonly isRaw?: boolean;
  /** There is no place for pages before `arrivals.open`. */
  readonly isEarly?: boolean;
  /** Without a limit by default. */
  readonly pacer?: Pacer;
  /** Pages were named that are missing, and that are not held. */
  readonly onNotHeld?: (runs: readonly PageRun[]) => void;
}

const LINES_ENTRY_BYTES = 516;

export class ChannelPair implements AsyncDisposable {
  readonly source: ScratchMemory;
  readonly destination: ScratchMemory;
  readonly channels: PageChannels;
  readonly arrivals: Arrivals;
  readonly packing: Packing;
  readonly sender: PageSender;
  readonly counts = { ...NOTHING_PACKED };
  readonly pacer: Pacer;
  /** What went wrong at either end. */
  readonly failures: GodwitError[] = [];
  /** Of the sending one. */
  readonly losses: GodwitError[] = [];
  link = SLOW;
  #knowsHeld = false;
  readonly #sockets: SocketPair[];

  private constructor(options: ChannelPairOptions, sockets: SocketPair[]) {
    const pages = options.regions.reduce((sum, count) => sum + count, 0);
    const fail = (error: GodwitError): void => {
      this.failures.push(error);
    };
    this.pacer = options.pacer ?? new Pacer(0);
    this.source = new ScratchMemory(...options.regions);
    this.destination = new ScratchMemory(...options.regions);
    this.#sockets = sockets;
    const linesBudgetBytes = (options.lines ?? pages) * LINES_ENTRY_BYTES;
    const seed = options.sentContents && SentContents.seedOf(options.sentContents);
    const sent = options.isRaw ? null : createSentPages({ pageCount: pages, same: true, linesBudgetBytes, seed });
    const { memory } = this.source;
    this.channels = new PageChannels({
      memory,
      count: options.channels,
      sent,
      peer: 'far',
      tls: null,
      onLost: (error) => {
        this.losses.push(error);
        fail(error);
      },
      note: () => undefined,
    });
    const ignore = (): void => undefined;
    this.arrivals = new Arrivals({
      peer: 'near',
      verify: 'xxh3-128',
      onBegin: ignore,
      onProgress: ignore,
      onAllPresent: ignore,
      onNotHeld: options.onNotHeld ?? ignore,
      onLost: fail,
      onFailed: fail,
    });
    this.packing = new Packing({
      conditions: () => this.link,
      codecs: ['zstd', 'lz4'],
      steps: new Set(PACKING_STEPS),
      sent,
      parallel: options.channels,
      densestLevel: 9,
      knowsHeld: () => this.#knowsHeld,
      sharesContents: options.sentContents !== undefined,
      counts: this.counts,
    });
    this.sender = new PageSender(this.channels, this.pacer, options.isRaw ? undefined : this.packing);
  }

  static async open(options: ChannelPairOptions): Promise<ChannelPair> {
    const sockets = await Promise.all(Array.from({ length: options.channels }, () => SocketPair.open()));
    const pair = new ChannelPair(options, sockets);
    if (!options.isEarly) pair.arrivals.open(pair.destination.memory);
    pair.connect(sockets);
    return pair;
  }

  /** Pages go over these sockets from now on. */
  connect(sockets: readonly Pick<SocketPair, 'take' | typeof Symbol.dispose>[]): void {
    this.arrivals.replace();
    for (const socket of sockets) this.arrivals.add(socket.take('far'));
    this.channels.link(sockets.map((socket) => socket.take('near')));
    for (const socket of sockets) socket[Symbol.dispose]();
  }

  get pageCount(): number {
    return this.source.memory.layout.pageCount;
  }

  get all(): PageRun[] {
    return [{ first: 0, count: this.pageCount }];
  }

  async send(runs: readonly PageRun[] = this.all, options: Partial<SendOptions> = {}): Promise<SendCounts> {
    const counts = await this.sender.send(runs, { signal: new AbortController().signal, ...options });
    await this.arrivals.reached(this.channels.frames);
    return counts;
  }

  /** A round: pages may be named, and come after all if they are not there. Returns those. */
  async sendNaming(runs: readonly PageRun[] = this.all): Promise<readonly PageRun[]> {
    await this.send(runs, { mayName: 'awaited' });
    await this.arrivals.settleAwaited();
    const missed = this.arrivals.takeMissed();
    if (missed.length > 0) this.sender.miss(missed);
    await this.send(missed);
    return missed;
  }

  /** From now on pages of other pairs are named, and theirs may be named that are here. Returns the migration's name. */
  share(sentContents: SharedArrayBuffer, directory: string, key: Uint8Array): Uint8Array {
    const id = randomUUID();
    const contents = SentContents.enter(sentContents, id, 'far');
    const { layout } = this.destination.memory;
    const paths = this.destination.memory.ownPaths();
    const regions = layout.regions.map(({ bytes }, i) => ({
      id: `ram${i}`,
      bytes,
      fdPath: paths[i]!,
      hostAddress: 0n,
    }));
    announceArrival(directory, migrationName(id), identifyProcess(process.pid)!, regions);
    this.arrivals.share({ directory, key });
    this.channels.share({ contents, key });
    return migrationName(id);
  }

  /** The destination holds these contents from now on, and says so. */
  hold(store: ContentStore, key: Uint8Array): void {
    this.arrivals.hold(store.share());
    const { bytes } = store.filter;
    const filter = new Uint8Array(new SharedArrayBuffer(bytes.length));
    filter.set(bytes);
    this.channels.learn({ filter, key });
    this.#knowsHeld = true;
  }

  /** Pages that differ. */
  differences(): number[] {
    const [a, b] = [this.source, this.destination].map(({ memory }) => {
      const bytes = Buffer.alloc(this.pageCount * PAGE_SIZE);
      memory.readPages(this.all[0]!, bytes);
      return bytes;
    }) as [Buffer, Buffer];
    const pages = Array.from({ length: this.pageCount }, (_, page) => page * PAGE_SIZE);
    return pages.filter((at) => a.compare(b, at, at + PAGE_SIZE, at, at + PAGE_SIZE) !== 0).map((at) => at / PAGE_SIZE);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.channels[Symbol.dispose]();
    await this.arrivals.stop();
    for (const socket of this.#sockets) socket[Symbol.dispose]();
    this.source[Symbol.dispose]();
    this.destination[Symbol.dispose]();
  }
}
