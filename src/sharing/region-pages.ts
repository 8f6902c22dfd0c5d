/**
 * Pages of a shared region on their way through one host: what is in hand, what is kept until it is acknowledged, and
 * what the report says of them.
 *
 * Owns: the copies and the counts. Must hold: a page is counted where it passes; counts decide nothing.
 */
import type { PageIndex } from '../base/page.ts';
import { FaultTimes } from './fault-times.ts';
import { PageCopies } from './page-copies.ts';
import type { ConnectionBytes } from './region-connection.ts';
import type { RegionJournal } from './region-journal.ts';
import type { Placing, RegionMemory } from './region-memory.ts';
import type { RegionReport } from './region-report.ts';
import type { RegionKeeping } from './region-start.ts';

type Way = 'sent' | 'received';

export interface PageInHand {
  /** Valid while its message is being taken; null: zeros. */
  readonly data: Uint8Array | null;
  /** Somebody here waits for it. */
  readonly isWanted: boolean;
}

export class RegionPages {
  readonly times: FaultTimes = new FaultTimes();
  inHand: PageInHand = { data: null, isWanted: false };
  readonly #memory: RegionMemory;
  readonly #journal: RegionJournal;
  readonly #copies: PageCopies;
  readonly #counts = { sent: { dataPages: 0, zeroPages: 0 }, received: { dataPages: 0, zeroPages: 0 } };
  readonly #bytes = { sent: 0, received: 0 };
  #links = 0;
  #beganMs: number | undefined;
  #endedMs: number | undefined;
  #unlinkedSinceMs: number | undefined;
  #unlinkedMs = 0;
  #noMemoryMs = 0;

  constructor(memory: RegionMemory, { journal, kept }: RegionKeeping) {
    this.#memory = memory;
    this.#journal = journal;
    this.#copies = new PageCopies(journal, kept);
  }

  takeAway(page: PageIndex): void {
    this.#copies.make(page, (copy, keep) => this.#memory.takeAway(page, copy, keep));
  }

  copyOf(page: PageIndex): Uint8Array | null {
    return this.#copies.read(page);
  }

  forget(page: PageIndex): void {
    this.#copies.forget(page);
  }

  /** The page in hand. Zeros for which nobody waits stay a hole, which takes no memory. */
  install(page: PageIndex): Placing {
    const { data, isWanted } = this.inHand;
    this.#journal.expect(page);
    let placing: Placing = 'placed';
    if (data !== null || isWanted) placing = this.#memory.install(page, data);
    else this.#memory.wakeAll(page);
    if (placing === 'placed') this.#journal.placed(page);
    return placing;
  }

  count(way: Way, data: Uint8Array | null): void {
    this.#counts[way][data === null ? 'zeroPages' : 'dataPages']++;
  }

  get sent(): RegionReport['sent'] {
    return this.#counts.sent;
  }

  /** Pages may change sides from now on. */
  begin(): void {
    this.#beganMs ??= performance.now();
  }

  /** Everything is in place. */
  end(): void {
    this.#endedMs ??= performance.now();
  }

  /** Milliseconds since `begin`, at a reading of the thread's clock. */
  sinceBeginMs(atMs: number): number {
    return this.#beganMs === undefined ? 0 : atMs - this.#beganMs;
  }

  linked(): void {
    this.#links++;
    if (this.#unlinkedSinceMs !== undefined) this.#unlinkedMs += performance.now() - this.#unlinkedSinceMs;
    this.#unlinkedSinceMs = undefined;
  }

  unlinked(): void {
    this.#unlinkedSinceMs = performance.now();
  }

  waitedForMemory(ms: number): void {
    this.#noMemoryMs += ms;
  }

  /** Of a connection that is over. */
  addBytes({ sent, received }: ConnectionBytes): void {
    this.#bytes.sent += sent;
    this.#bytes.received += received;
  }

  /** @param bytes - of the connection of now */
  summarize(
    bytes: ConnectionBytes | undefined,
  ): Pick<RegionReport, 'faults' | 'lentFaults' | 'sent' | 'received' | 'wireBytes' | 'reconnects' | 'durations'> {
    const nowMs = this.#endedMs ?? performance.now();
    const unlinkedMs = this.#unlinkedSinceMs === undefined ? 0 : Math.max(0, nowMs - this.#unlinkedSinceMs);
    return {
      ...this.times.summary,
      sent: { ...this.#counts.sent },
      received: { ...this.#counts.received },
      wireBytes: {
        sent: this.#bytes.sent + (bytes?.sent ?? 0),
        received: this.#bytes.received + (bytes?.received ?? 0),
      },
      reconnects: Math.max(0, this.#links - 1),
      durations: {
        movingMs: this.sinceBeginMs(nowMs),
        unlinkedMs: this.#unlinkedMs + unlinkedMs,
        noMemoryMs: this.#noMemoryMs,
      },
    };
  }
}
