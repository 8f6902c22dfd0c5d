/**
 * How the pages of one migration get to the link at the source: the page channels, and what makes pages smaller there.
 *
 * Owns: the channels' threads, from the beginning (a thread takes long to start) to the end of the migration, and the
 * counts. Must hold: only what both hosts can do is done.
 */
import { availableParallelism } from 'node:os';
import { SYSTEM_CLOCK } from '../base/clock.ts';
import { GodwitError } from '../base/errors.ts';
import { PACKING_STEPS, type PackingStep } from '../base/packing-step.ts';
import { availableCodecs } from '../linux/compression.ts';
import { readIdleMs } from '../linux/idle-time.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import type { RelayPort } from '../tls/relay-orders.ts';
import { BusyRate } from '../transfer/busy-rate.ts';
import { LinkRate } from '../transfer/link-rate.ts';
import type { Pacer } from '../transfer/pacer.ts';
import { NOTHING_PACKED, Packing, type PackingCounts } from '../transfer/packing.ts';
import { SentContents, type SentContentsShared } from '../transfer/sent-contents.ts';
import { createSentPages, type SentPagesShared } from '../transfer/sent-pages.ts';
import { SpareCpus } from '../transfer/spare-cpus.ts';
import type { FingerprintScope, HeldFilter } from '../wire/held-filter.ts';
import { chooseChannels } from './channel-choice.ts';
import { fleetFeature, parseKey } from './fingerprint-keys.ts';
import { DUPLICATES_ELSEWHERE_FEATURE, DUPLICATES_MISSING_FEATURE } from './held-contents.ts';
import { LZ4_FEATURE, PACK_FEATURE } from './opening.ts';
import { PageChannels } from './page-channels.ts';

/** Levels of zstd: 1 takes 2 ms for a batch, 9 up to 30. */
const DENSEST_COPIED = 9;
const DENSEST_PUSHED = 1;
/** Without a limit on the link a few hundred KiB wait at any moment, for acknowledgements. */
const PILED_BYTES = 2 * 2 ** 20;
/**
 * For the lines of what was sent: all of 131 072 pages or 512 MiB need 68 MB; of a large VM's memory so much that with the
 * fingerprints of all its pages (8 bytes for each, 0.2 %) it is 1 %.
 */
const LINES_BUDGET_BYTES = 68 * 2 ** 20;
const LINES_BUDGET_PART = 0.008;

export interface SourcePackingPort {
  readonly memory: Pick<GuestMemory, 'layout' | 'ownPaths'>;
  /** Of the migration. */
  readonly id: string;
  /** Address of the other host, and what it calls itself. */
  readonly to: string;
  readonly destinationName: string;
  /** Who speaks TLS for us; null: nobody. */
  readonly tls: RelayPort | null;
  /** Of this daemon (sent-contents.ts); null: it is of no fleet. */
  readonly sentContents: SharedArrayBuffer | null;
  /** Connections that were asked for; 0: as many as are best. */
  readonly connections: number;
  /** As migrations before have shown, or a limit says; undefined: nobody knows. */
  readonly linkBytesPerSecond: number | undefined;
  readonly without: readonly PackingStep[];
  readonly pacer: Pacer;
  /** Keys of fingerprints, in hexadecimal; null: there is none. */
  readonly keys: Readonly<Record<FingerprintScope, string | null>>;
  /** The other host has the VM. */
  isGivenAway(): boolean;
  /** Whether both hosts know a feature of the protocol. */
  has(feature: string): boolean;
  /** A page channel broke. */
  onLost(reason: GodwitError): void;
  note(text: string): void;
}

export class SourcePacking implements Disposable {
  readonly counts: { -readonly [K in keyof PackingCounts]: number } = { ...NOTHING_PACKED };
  readonly channels: PageChannels;
  readonly #port: SourcePackingPort;
  readonly #steps: ReadonlySet<PackingStep>;
  readonly #sent: SentPagesShared | null;
  readonly #spare: SpareCpus;
  #knowsHeld = false;
  #shared: SentContentsShared | undefined;

  constructor(port: SourcePackingPort) {
    this.#port = port;
    this.#steps = new Set(PACKING_STEPS.filter((step) => !port.without.includes(step)));
    const packingMs = () => this.counts.compareMs + this.counts.compressMs;
    this.#spare = new SpareCpus(readIdleMs, packingMs, availableParallelism() / 2);
    const { layout } = port.memory;
    this.#sent = createSentPages({
      pageCount: layout.pageCount,
      same: this.#steps.has('unchanged'),
      linesBudgetBytes: this.#steps.has('delta') ? linesBudget(layout.bytes) : 0,
      seed: port.sentContents && this.#steps.has('duplicates') ? SentContents.seedOf(port.sentContents) : undefined,
    });
    this.channels = new PageChannels({
      memory: port.memory,
      count: chooseChannels({
        asked: port.connections,
        cpus: availableParallelism(),
        bytesPerSecond: port.linkBytesPerSecond,
        isPacked: this.#steps.size > 0,
      }),
      sent: this.#sent,
      peer: port.to,
      tls: port.tls,
      onLost: port.onLost,
      note: port.note,
    });
  }

  /** What the destination holds need not be sent. @throws GW_WIRE_FRAME_INVALID */
  learn({ scope, filter }: HeldFilter): void {
    const secret = this.#port.keys[scope];
    const key = parseKey(secret);
    // Under the key of a fleet nothing is told to a host that is not of it.
    const isAgreed = scope === 'vm' || (secret !== null && this.#port.has(fleetFeature(secret)));
    if (!key || !isAgreed) {
      throw new GodwitError('GW_WIRE_FRAME_INVALID', { frame: 'heldFilter', reason: 'its key is not shared' });
    }
    this.#knowsHeld = true;
    this.channels.learn({ filter, key });
  }

  /**
   * For pages from now on.
   * @param use - `push`: the VM runs at the destination, and may come to wait for any page that is being packed
   */
  open(use: 'copy' | 'push'): Packing | undefined {
    const { pacer, has } = this.#port;
    const { channels } = this;
    if (this.#steps.size === 0 || !has(PACK_FEATURE)) return undefined;
    if (use === 'copy') this.#shareContents();
    const rate = new LinkRate(channels);
    const busyRate = new BusyRate(channels);
    const conditions = () => {
      const limit = pacer.bytesPerSecond;
      const measured = rate.measure();
      const waitingBytes = channels.unacknowledgedBytes;
      return {
        bytesPerSecond: limit > 0 ? Math.min(limit, measured ?? limit) : measured,
        isIdle: waitingBytes === 0 && limit === 0,
        isPilingUp: waitingBytes >= PILED_BYTES,
        busyBytesPerSecond: limit > 0 ? undefined : busyRate.measure(),
        cpus: this.#spare.measure(),
        nowMs: SYSTEM_CLOCK.nowMs(),
      };
    };
    const codecs = availableCodecs().filter((codec) => codec !== 'lz4' || has(LZ4_FEATURE));
    return new Packing({
      conditions,
      isPushed: use === 'push',
      codecs: this.#steps.has('compress') ? codecs : [],
      steps: this.#steps,
      sent: this.#sent,
      parallel: channels.count,
      densestLevel: use === 'copy' ? DENSEST_COPIED : DENSEST_PUSHED,
      knowsHeld: () => this.#knowsHeld && (use === 'copy' || has(DUPLICATES_MISSING_FEATURE)),
      sharesContents: this.#shared !== undefined,
      counts: this.counts,
    });
  }

  [Symbol.dispose](): void {
    if (this.#shared) SentContents.leave(this.#shared, this.#port.isGivenAway());
    this.channels[Symbol.dispose]();
  }

  /** With other VMs that go the same way, where both hosts are of one fleet. */
  #shareContents(): void {
    const { id, destinationName, keys, sentContents, has } = this.#port;
    const key = parseKey(keys.fleet);
    if (this.#shared || !key || !sentContents || !this.#steps.has('duplicates')) return;
    if (!has(fleetFeature(keys.fleet!)) || !has(DUPLICATES_ELSEWHERE_FEATURE)) return;
    this.#shared = SentContents.enter(sentContents, id, destinationName);
    this.channels.share({ contents: this.#shared, key });
  }
}

function linesBudget(ramBytes: number): number {
  return Math.max(LINES_BUDGET_BYTES, Math.floor(ramBytes * LINES_BUDGET_PART));
}
