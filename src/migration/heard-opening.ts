/**
 * One connection at the migration port, until it has said what it wants.
 *
 * Owns: the listener's half of the opening (the dialer's is in opening.ts). Must hold: a stranger costs a small buffer and a few
 * seconds at most; what is handed over is a descriptor on which nothing unread is left.
 */
import type { Socket } from 'node:net';
import { SYSTEM_CLOCK } from '../base/clock.ts';
import { asGodwitError, GodwitError } from '../base/errors.ts';
import { descriptorOf, duplicateFd } from '../linux/socket.ts';
import { closedBy } from '../transfer/connection.ts';
import { FrameDecoder } from '../wire/decoder.ts';
import { PREFACE } from '../wire/encoder.ts';
import { localPeer, stepListener } from '../wire/handshake.ts';
import { decodeControl, encodeControl } from '../wire/message-codec.ts';
import { toWireError } from '../wire/message-fields.ts';
import type { ControlMessage, Message } from '../wire/messages.ts';
import type { ListenOptions } from './listener.ts';
import { FEATURES, SHARED_MEMORY_FEATURE, SOFTWARE } from './opening.ts';
import { offerRegion } from './region-policy.ts';
import type { UndecidedPeer } from './undecided-places.ts';

const OPENING_TIMEOUT_MS = 10_000;

export class HeardOpening implements UndecidedPeer {
  readonly #socket: Socket;
  readonly #options: ListenOptions;
  readonly #decoder = new FrameDecoder('source');
  readonly #peer: string;
  readonly #done: () => void;
  #greeted = false;
  #features: readonly string[] = [];
  #screening = false;
  #hasOffered = false;
  #over = false;
  readonly #gone = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  /** @param peer - address of the other host, for messages */
  constructor(socket: Socket, peer: string, options: ListenOptions, done: () => void) {
    this.#socket = socket;
    this.#options = options;
    this.#peer = peer;
    this.#done = done;
  }

  get hasOffered(): boolean {
    return this.#hasOffered;
  }

  drop(): void {
    this.#socket.destroy();
  }

  start(): void {
    this.#startTimer();
    this.#socket.on('error', () => this.#socket.destroy());
    this.#socket.on('close', () => {
      this.#end();
      this.#gone.abort(closedBy(this.#peer, 'it has gone before its answer'));
    });
    this.#socket.on('data', (chunk: Buffer) => this.#take(chunk));
  }

  #take(chunk: Buffer): void {
    if (this.#over) return;
    try {
      this.#decoder.push(chunk);
      for (let step = this.#decoder.next(); step.kind === 'frame'; step = this.#decoder.next()) {
        this.#step(decodeControl(step.type, step.payload));
        if (this.#over) {
          if (this.#decoder.bufferedBytes > 0) this.#socket.destroy();
          return;
        }
      }
    } catch (error) {
      this.#refuse(error);
    }
  }

  #refuse(error: unknown): void {
    if (!this.#over) this.#answerAndClose({ kind: 'refused', error: toWireError(asGodwitError(error)) });
  }

  #startTimer(): void {
    this.#timer = setTimeout(() => this.#socket.destroy(), OPENING_TIMEOUT_MS);
  }

  #step(message: ControlMessage): void {
    if (!this.#greeted) {
      const { hostName, regions, features } = this.#options;
      const sharing = regions ? [SHARED_MEMORY_FEATURE] : [];
      const local = localPeer(hostName, SOFTWARE, [...FEATURES, ...sharing, ...features]);
      const step = stepListener(local, message, SYSTEM_CLOCK.wallMs());
      this.#socket.write(PREFACE);
      if (step.kind === 'refused') {
        this.#answerAndClose(step.send);
        return;
      }
      this.#greeted = true;
      this.#features = step.agreement.features;
      this.#socket.write(encodeControl(step.send));
      return;
    }
    if (message.kind === 'offer') {
      if (this.#screening) throw unexpected('offer', 'the one before has no answer yet');
      this.#screen(message).catch((error: unknown) => this.#refuse(error));
      return;
    }
    if (message.kind === 'join') {
      this.#join(message);
      return;
    }
    if (message.kind === 'offerRegion') {
      if (this.#screening) throw unexpected('offerRegion', 'the one before has no answer yet');
      this.#offerRegion(message).catch((error: unknown) => this.#refuse(error));
      return;
    }
    throw unexpected(message.kind, 'it comes where offer or join must come');
  }

  #join(message: Message<'join'>): void {
    const { onJoin, regions } = this.#options;
    const takeFd = () => this.#handOver();
    const isRegion = message.purpose === 'region';
    const answer = isRegion
      ? (regions?.onJoin(message, takeFd, this.#peer) ?? 'unknown')
      : onJoin(message, takeFd, this.#peer);
    if (answer === 'unknown' || answer === 'over') {
      const error = new GodwitError(answer === 'over' ? 'GW_PEER_SESSION_OVER' : 'GW_PEER_UNKNOWN_SESSION');
      this.#answerAndClose({ kind: 'refused', error: toWireError(error) });
    } else if (answer === 'notNow') {
      this.#end();
      this.#socket.destroy();
    }
  }

  #beginScreening(): void {
    this.#screening = true;
    this.#hasOffered = true;
    clearTimeout(this.#timer);
  }

  async #screen(offer: Message<'offer'>): Promise<void> {
    this.#beginScreening();
    const screening = await this.#options.screen(offer, this.#peer, this.#gone.signal);
    this.#screening = false;
    if (this.#over) return;
    if (screening.kind === 'answer') this.#answerAndClose(screening.message);
    else if (screening.kind === 'goesOn') this.#options.onOffer(offer, this.#handOver(), this.#peer, this.#features);
    else {
      this.#startTimer();
      this.#socket.write(encodeControl(screening.message));
    }
  }

  async #offerRegion(offer: Message<'offerRegion'>): Promise<void> {
    this.#beginScreening();
    const { regions, hostName } = this.#options;
    await offerRegion(regions, hostName, offer, () => this.#handOver(), this.#peer, this.#gone.signal);
    // Neither taken nor refused: nobody would ever answer.
    if (!this.#over) throw new GodwitError('GW_INTERNAL', { reason: 'nobody took the offer of a region' });
  }

  /** The link stays up in the duplicate; this thread never reads it again. */
  #handOver(): number {
    this.#socket.pause();
    const fd = duplicateFd(descriptorOf(this.#socket));
    this.#end();
    this.#socket.destroy();
    return fd;
  }

  #answerAndClose(message: ControlMessage): void {
    if (!this.#greeted && message.kind === 'refused') this.#socket.write(PREFACE);
    this.#end();
    this.#socket.end(encodeControl(message), () => this.#socket.destroy());
  }

  #end(): void {
    this.#over = true;
    clearTimeout(this.#timer);
    this.#done();
  }
}

function unexpected(frame: string, reason: string): GodwitError {
  return new GodwitError('GW_WIRE_FRAME_INVALID', { frame, reason });
}
