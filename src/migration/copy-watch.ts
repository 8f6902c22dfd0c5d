/**
 * Whether a copy goes on: the destination answers, and takes what it is sent.
 *
 * Owns: both watches while pages are copied, and which rounds the destination has not confirmed yet. Must hold: time in
 * which nothing is owed (every byte acknowledged, every round confirmed) counts against nobody; a connection that is
 * given up is told once.
 */
import { type Clock, SYSTEM_CLOCK } from '../base/clock.ts';
import { GodwitError } from '../base/errors.ts';
import { LinkQueue } from './link-queue.ts';
import { PeerWatch } from './peer-watch.ts';
import type { SourceLink } from './source-link.ts';

/** As long as an answer may take anywhere in the protocol. */
const PEER_GONE_MS = 15_000;
/** A destination that answers, but neither reads nor confirms: twice that, for what it has read may have to go to a slow disk. */
const STALLED_MS = 30_000;

export interface CopyWatchPort {
  readonly link: Pick<SourceLink, 'arrivedBytes' | 'ask' | 'bytesReceived' | 'drop'> & {
    readonly connection: { readonly peer: string };
  };
  readonly channels: { readonly bytesSent: number; readonly unacknowledgedBytes: number };
  /** Before, the destination is busy with its QEMU, and owes nothing. */
  isReady(): boolean;
  /** The destination has been silent for a while, or answers again. */
  onSuspect(isSuspect: boolean): void;
}

export class CopyWatch implements Disposable {
  readonly #port: CopyWatchPort;
  readonly #watches: readonly PeerWatch[];
  readonly #clock: Clock;
  readonly #queue = new LinkQueue();
  #confirmedRounds = 0;
  #isRoundAwaited = false;
  /** Looks at which nothing was owed. */
  #idleLooks = 0;
  /** Unlike any number of bytes. */
  #unreadyLooks = 0;

  constructor(port: CopyWatchPort, clock: Clock = SYSTEM_CLOCK) {
    this.#port = port;
    this.#clock = clock;
    const { link } = port;
    const { peer } = link.connection;
    const goneMs = (patienceMs: number): number => patienceMs + this.#queue.ms;
    const answers = new PeerWatch(
      {
        get goneMs() {
          return goneMs(PEER_GONE_MS);
        },
        ask: () => link.ask(),
        heardBytes: () => (port.isReady() ? link.bytesReceived : --this.#unreadyLooks),
        onSuspect: () => port.onSuspect(true),
        onWell: () => port.onSuspect(false),
        onGone: (timeoutMs) => link.drop(new GodwitError('GW_WIRE_TIMEOUT', { peer, timeoutMs })),
      },
      clock,
    );
    const takes = new PeerWatch(
      {
        get goneMs() {
          return goneMs(STALLED_MS);
        },
        ask: () => undefined,
        heardBytes: () => this.#taken(),
        onGone: (timeoutMs) => link.drop(new GodwitError('GW_WIRE_STALLED', { peer, timeoutMs })),
      },
      clock,
    );
    this.#watches = [answers, takes];
  }

  /** @param round - resolves when the destination has confirmed it */
  async awaited<T>(round: Promise<T>): Promise<T> {
    this.#isRoundAwaited = true;
    try {
      return await round;
    } finally {
      this.#confirmedRounds++;
      this.#queue.emptied();
      this.#isRoundAwaited = false;
    }
  }

  /** Each second: as a hang of either would do. */
  look(): void {
    for (const watch of this.#watches) watch.look();
  }

  [Symbol.dispose](): void {
    for (const watch of this.#watches) watch[Symbol.dispose]();
  }

  /** Another number whenever something was taken, and while nothing is owed. */
  #taken(): number {
    const { link, channels } = this.#port;
    const waitingBytes = channels.unacknowledgedBytes;
    const takenBytes = channels.bytesSent - waitingBytes;
    this.#queue.look({ nowMs: this.#clock.nowMs(), takenBytes, waitingBytes });
    if (!this.#port.isReady() || (!this.#isRoundAwaited && waitingBytes === 0)) this.#idleLooks++;
    // What a tunnel or relay on the way has acknowledged is on a slow link for long after that.
    return link.arrivedBytes + takenBytes + this.#confirmedRounds + this.#idleLooks;
  }
}
