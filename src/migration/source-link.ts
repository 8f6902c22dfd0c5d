/**
 * The source's connections to the destination: the main one, those beside it, and how they come back.
 *
 * Owns: the main connection and what is in flight on it (round acknowledgements, the list of still missing pages).
 * Must hold: `redial` tries until it succeeds or the migration's life ends, because the destination may hold the VM; a
 * connection that is lost is told once.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { SYSTEM_CLOCK } from '../base/clock.ts';
import { asGodwitError, GodwitError } from '../base/errors.ts';
import type { PageRun } from '../base/page.ts';
import { closeFd } from '../linux/socket.ts';
import type { DialPolicy } from '../transfer/dial.ts';
import type { StreamConnection } from '../transfer/stream-connection.ts';
import { encodeRunList } from '../wire/encoder.ts';
import { type HeldFilter, HeldFilterCollector } from '../wire/held-filter.ts';
import type { ControlMessage } from '../wire/messages.ts';
import { RunListCollector } from '../wire/run-list-collector.ts';
import type { RoundEnd } from './copy-rounds-port.ts';
import { type BinaryName, routeFrames, sendControl } from './frame-router.ts';
import { openFurther } from './further-connections.ts';
import { DUPLICATES_FEATURE } from './held-contents.ts';
import { type ClockComparison, compareClocks, type OpenedConnection, RECEIVED_FEATURE } from './opening.ts';
import { redial } from './redial.ts';

export interface SourceLinkPort extends DialPolicy {
  readonly to: string;
  readonly hostName: string;
  readonly sessionKey: string;
  readonly pageCount: number;
  /** Aborted at the very end of the migration. */
  readonly life: AbortSignal;
  onMessage(message: ControlMessage): void;
  /** The destination's list of what it misses, after it came back. */
  onStillMissing(runs: readonly PageRun[]): void;
  /** Of the missing pages these were only named, and it does not hold them. */
  onMissed(runs: readonly PageRun[]): void;
  /** What the destination holds already. @throws GW_WIRE_FRAME_INVALID */
  onHeld(held: HeldFilter): void;
  onLost(reason: GodwitError): void;
  note(text: string): void;
}

/** Before a host that knows nothing of the migration is asked again: another host has its address, or lost its disk. */
const UNKNOWN_PAUSE_MS = 1000;
/** Told apart from those of comparing clocks. */
const LIVENESS_TOKEN = 0xffff_ffff;

export class SourceLink {
  readonly #port: SourceLinkPort;
  #opened: OpenedConnection | undefined;
  #connection: StreamConnection | undefined;
  #earlierBytes = 0;
  #arrivedBytes = 0;
  #lists: { [name in 'stillMissing' | 'missedPages']?: RunListCollector } = {};
  /** What the destination said of the migration when it was dialled last. */
  #isUnknown = false;
  readonly #heldFilter = new HeldFilterCollector();
  #roundWaiter: { round: number; resolve: (end: RoundEnd) => void } | undefined;

  constructor(port: SourceLinkPort) {
    this.#port = port;
  }

  /** Behind which all connections are; null: they are TCP connections themselves. */
  get tls(): DialPolicy['tls'] {
    return this.#port.tls;
  }

  get isConnected(): boolean {
    return this.#connection !== undefined;
  }

  /** @throws GW_WIRE_CLOSED when there is none */
  get connection(): StreamConnection {
    if (this.#connection) return this.#connection;
    throw new GodwitError('GW_WIRE_CLOSED', { peer: this.#port.to, reason: 'the connection is lost' });
  }

  /** On the main connection of now. */
  get bytesReceived(): number {
    return this.#connection?.bytesReceived ?? 0;
  }

  /** What had come over the page channels when the destination said so last; 0 from one that does not say it. */
  get arrivedBytes(): number {
    return this.#arrivedBytes;
  }

  /** Sent and received on all main connections so far. */
  get bytes(): number {
    return this.#earlierBytes + (this.#connection?.bytesSent ?? 0) + this.bytesReceived;
  }

  has(feature: string): boolean {
    return this.#opened?.agreement.features.includes(feature) ?? false;
  }

  use(opened: OpenedConnection): void {
    const { connection } = opened;
    this.#opened = opened;
    this.#connection = connection;
    this.#lists = {};
    routeFrames(connection, {
      control: (message) => this.#take(message, opened),
      binary: (name, payload) => this.#takeBinary(name, payload),
    });
    connection.closed
      .then((reason) => {
        this.#earlierBytes += connection.bytesSent + connection.bytesReceived;
        opened.inbox.close(reason);
        if (this.#connection !== connection) return;
        this.#connection = undefined;
        this.#port.onLost(reason);
      })
      .catch((error: unknown) => this.#port.note(asGodwitError(error).message));
  }

  /** Without a connection nothing happens: its loss was told. */
  say(message: ControlMessage): void {
    if (this.#connection) sendControl(this.#connection, message);
  }

  /** For an answer of which only counts that it comes. */
  ask(): void {
    const asked = this.has(RECEIVED_FEATURE) ? { asksReceived: true } : {};
    this.say({ kind: 'ping', token: LIVENESS_TOKEN, wallMs: SYSTEM_CLOCK.wallMs(), ...asked });
  }

  async sendMissing(runs: readonly PageRun[]): Promise<void> {
    for (const frame of encodeRunList('missingRuns', runs)) await this.connection.send(frame);
  }

  compareClocks(): Promise<ClockComparison> {
    return compareClocks(this.#opened!, this.#port.to);
  }

  /**
   * Resolves when the destination has put everything sent so far in its place, with what it was to hold and does not.
   * @param frames - sent on all page channels since the migration began
   */
  endRound(round: number, frames: number, signal: AbortSignal): Promise<RoundEnd> {
    const { promise, resolve, reject } = Promise.withResolvers<RoundEnd>();
    const aborted = () => reject(signal.reason);
    if (signal.aborted) aborted();
    signal.addEventListener('abort', aborted, { once: true });
    this.#roundWaiter = { round, resolve };
    this.say({ kind: 'roundEnd', round, frames });
    return promise.finally(() => signal.removeEventListener('abort', aborted));
  }

  /** A further connection for page requests; its descriptor is the caller's. */
  openUrgent(signal = this.#port.life): Promise<number> {
    return openFurther(this.#port, 'urgent', AbortSignal.any([signal, this.#port.life]));
  }

  /** A further connection for a disk; its descriptor is the caller's. */
  openDisk(signal: AbortSignal): Promise<number> {
    return openFurther(this.#port, 'disk', AbortSignal.any([signal, this.#port.life]));
  }

  /** Further connections for pages. @param use - gets their descriptors, if the main connection is the same still */
  async openPages(count: number, use: (fds: readonly number[]) => void, signal = this.#port.life): Promise<void> {
    const main = this.#connection;
    const wanted = AbortSignal.any([signal, this.#port.life]);
    const opening = Array.from({ length: count }, () => openFurther(this.#port, 'pages', wanted));
    const opened = await Promise.allSettled(opening);
    const fds = opened.flatMap((each) => (each.status === 'fulfilled' ? each.value : []));
    const failed = opened.find(({ status }) => status === 'rejected') as PromiseRejectedResult | undefined;
    if (!failed && main && this.#connection === main && !wanted.aborted) {
      use(fds);
      return;
    }
    for (const fd of fds) closeFd(fd);
    throw (
      failed?.reason ?? new GodwitError('GW_WIRE_CLOSED', { peer: this.#port.to, reason: 'the connection is lost' })
    );
  }

  /**
   * Dials until the destination answers.
   *
   * @param rejoined - opens what else is needed; if it fails the connection is dropped and dialled again
   * @returns whether the destination knows the migration
   */
  async redial(rejoined: () => Promise<void>): Promise<'joined' | 'unknown' | 'ended'> {
    const { life } = this.#port;
    if (this.#isUnknown) await delay(UNKNOWN_PAUSE_MS, undefined, { signal: life }).catch(() => undefined);
    const answer = await redial(this.#port, (opened) => {
      this.use(opened);
      return rejoined();
    });
    if (answer === 'unknown') this.#isUnknown = true;
    return answer;
  }

  drop(reason: GodwitError): void {
    this.#connection?.destroy(reason);
  }

  close(): void {
    this.#connection?.close();
  }

  #take(message: ControlMessage, opened: OpenedConnection): void {
    if (message.kind === 'pong' && message.token === LIVENESS_TOKEN) {
      this.#arrivedBytes = message.receivedBytes ?? this.#arrivedBytes;
      return;
    }
    if (message.kind === 'pong' || message.kind === 'joined') opened.inbox.post(message);
    else if (message.kind === 'roundAck') {
      const { runs: missed = [], complete = true } = this.#lists.missedPages ?? {};
      delete this.#lists.missedPages;
      if (!complete) {
        const reason = 'the list of missed pages before it has no end';
        throw new GodwitError('GW_WIRE_FRAME_INVALID', { frame: 'roundAck', reason });
      }
      if (this.#roundWaiter?.round !== message.round) return;
      this.#roundWaiter.resolve({ missed, waitedMs: message.waitedMs ?? 0 });
      this.#roundWaiter = undefined;
    } else this.#port.onMessage(message);
  }

  #takeBinary(name: BinaryName, payload: Uint8Array): void {
    const isAgreed = name === 'stillMissing' || this.has(DUPLICATES_FEATURE);
    if (!isAgreed) throw new GodwitError('GW_WIRE_FRAME_INVALID', { frame: name, reason: 'it was not agreed on' });
    switch (name) {
      case 'stillMissing':
      case 'missedPages':
        this.#collect(name, payload);
        return;
      case 'heldFilter': {
        const held = this.#heldFilter.add(payload);
        if (held) this.#port.onHeld(held);
        return;
      }
      default:
        throw new GodwitError('GW_WIRE_FRAME_INVALID', { frame: name, reason: 'a destination sends none here' });
    }
  }

  #collect(name: 'stillMissing' | 'missedPages', payload: Uint8Array): void {
    this.#lists[name] ??= new RunListCollector(name, this.#port.pageCount);
    const list = this.#lists[name];
    // Missed pages of a round wait for its acknowledgement.
    if (!list.add(payload) || (name === 'missedPages' && this.#roundWaiter)) return;
    delete this.#lists[name];
    this.#port[name === 'stillMissing' ? 'onStillMissing' : 'onMissed'](list.runs);
  }
}
