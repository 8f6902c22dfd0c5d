/**
 * What makes the pages of one migration smaller at the source.
 *
 * Owns: the packing threads, from the beginning (a thread takes long to start) to the end of the migration, and the
 * counts. Must hold: only what both hosts can do is done.
 */
import { availableParallelism } from 'node:os';
import { SYSTEM_CLOCK } from '../base/clock.ts';
import { GodwitError } from '../base/errors.ts';
import { PACKING_STEPS, type PackingStep } from '../base/packing-step.ts';
import { availableCodecs } from '../linux/compression.ts';
import { readIdleMs } from '../linux/idle-time.ts';
import type { Connection } from '../transfer/connection.ts';
import { LinkRate } from '../transfer/link-rate.ts';
import type { Pacer } from '../transfer/pacer.ts';
import { PackThreads } from '../transfer/pack-threads.ts';
import { NOTHING_PACKED, Packing, type PackingCounts } from '../transfer/packing.ts';
import { createSentLines } from '../transfer/sent-lines.ts';
import { SpareCpus } from '../transfer/spare-cpus.ts';
import type { FingerprintScope, HeldFilter } from '../wire/held-filter.ts';
import { parseKey } from './fingerprint-keys.ts';
import { LZ4_FEATURE, PACK_FEATURE } from './opening.ts';

const MAX_THREADS = 4;
/** Batches that wait to be sent, beside those that are packed. */
const WAITING_SLOTS = 2;
/** Levels of zstd: 1 takes 2 ms for a batch, 9 up to 30. */
const DENSEST_COPIED = 9;
const DENSEST_PUSHED = 1;
/** For a table of what was sent: 64 MiB, and 1 % of a large VM's memory; 131 072 pages or 512 MiB need 67 MB. */
const LINES_BUDGET_BYTES = 68 * 2 ** 20;
const LINES_BUDGET_PART = 0.01;

export interface SourcePackingPort {
  readonly pageCount: number;
  readonly ramBytes: number;
  readonly without: readonly PackingStep[];
  readonly pacer: Pacer;
  /** Keys of fingerprints, in hexadecimal; null: there is none. */
  readonly keys: Readonly<Record<FingerprintScope, string | null>>;
  /** Whether both hosts know a feature of the protocol. */
  has(feature: string): boolean;
}

export class SourcePacking implements Disposable {
  readonly counts: { -readonly [K in keyof PackingCounts]: number } = { ...NOTHING_PACKED };
  readonly #port: SourcePackingPort;
  readonly #steps: ReadonlySet<PackingStep>;
  readonly #threads: PackThreads | undefined;
  readonly #spare: SpareCpus;

  constructor(port: SourcePackingPort) {
    this.#port = port;
    this.#steps = new Set(PACKING_STEPS.filter((step) => !port.without.includes(step)));
    const packingMs = () => this.counts.compareMs + this.counts.compressMs;
    this.#spare = new SpareCpus(readIdleMs, packingMs, availableParallelism() / 2);
    if (this.#steps.size === 0) return;
    const threads = Math.min(MAX_THREADS, availableParallelism());
    const remembers = this.#steps.has('unchanged') || this.#steps.has('delta');
    const budget = Math.max(LINES_BUDGET_BYTES, port.ramBytes * LINES_BUDGET_PART);
    this.#threads = new PackThreads(
      threads,
      threads + WAITING_SLOTS,
      remembers ? createSentLines(port.pageCount, budget) : null,
    );
  }

  /** What the destination holds need not be sent. @throws GW_WIRE_FRAME_INVALID */
  learn({ scope, filter }: HeldFilter): void {
    const key = parseKey(this.#port.keys[scope]);
    if (!key) throw new GodwitError('GW_WIRE_FRAME_INVALID', { frame: 'heldFilter', reason: 'its key is not here' });
    this.#threads?.learn({ filter, key });
  }

  /**
   * For one connection.
   * @param use - `push`: the VM runs at the destination, and may come to wait for any page that is being packed
   */
  open(connection: Connection, use: 'copy' | 'push'): Packing | undefined {
    const { pacer, has } = this.#port;
    if (!this.#threads || !has(PACK_FEATURE)) return undefined;
    const rate = new LinkRate(connection);
    const conditions = () => {
      const limit = pacer.bytesPerSecond;
      const measured = rate.measure();
      return {
        bytesPerSecond: limit > 0 ? Math.min(limit, measured ?? limit) : measured,
        isIdle: connection.unacknowledgedBytes === 0 && limit === 0,
        cpus: this.#spare.measure(),
        nowMs: SYSTEM_CLOCK.nowMs(),
      };
    };
    const codecs = availableCodecs().filter((codec) => codec !== 'lz4' || has(LZ4_FEATURE));
    return new Packing(this.#threads, {
      conditions,
      codecs: this.#steps.has('compress') ? codecs : [],
      steps: this.#steps,
      parallel: use === 'copy' ? MAX_THREADS : 1,
      densestLevel: use === 'copy' ? DENSEST_COPIED : DENSEST_PUSHED,
      counts: this.counts,
    });
  }

  [Symbol.dispose](): void {
    this.#threads?.[Symbol.dispose]();
  }
}
