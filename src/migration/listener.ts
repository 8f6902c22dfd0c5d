/**
 * The migration port of a host (V2): who dials is heard, told apart, and handed to a migration's thread.
 *
 * Owns: the listening socket and every connection until its opening message. Must hold: a stranger costs a small buffer
 * and a few seconds at most; what is handed over is a descriptor on which nothing unread is left.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { SYSTEM_CLOCK } from '../base/clock.ts';
import { asGodwitError, GodwitError } from '../base/errors.ts';
import { descriptorOf, duplicateFd, setDscp } from '../linux/socket.ts';
import { closedBy } from '../transfer/connection.ts';
import { FrameDecoder } from '../wire/decoder.ts';
import { PREFACE } from '../wire/encoder.ts';
import { localPeer, stepListener } from '../wire/handshake.ts';
import { decodeControl, encodeControl } from '../wire/message-codec.ts';
import { toWireError } from '../wire/message-fields.ts';
import type { ControlMessage, Message } from '../wire/messages.ts';
import { FEATURES, SHARED_MEMORY_FEATURE, SOFTWARE } from './opening.ts';
import { offerRegion, type RegionPolicy } from './region-policy.ts';

/** Who has connected and not said what it wants yet. */
const MAX_UNDECIDED = 64;
const OPENING_TIMEOUT_MS = 10_000;

export type Screening =
  | { readonly kind: 'goesOn' }
  /** The answer is the end of it. */
  | { readonly kind: 'answer'; readonly message: ControlMessage }
  /** The source may offer again on this connection. */
  | { readonly kind: 'later'; readonly message: Message<'notReady'> };

/**
 * `taken`: the descriptor is the callee's. `unknown`: no migration has this session key. `over`: shared memory had it, and is
 * all here. `notNow`: one has, and nobody can answer for it at this moment; whoever is told nothing dials again.
 */
export type JoinAnswer = 'taken' | 'unknown' | 'over' | 'notNow';

export interface ListenOptions {
  readonly host: string;
  readonly port: number;
  readonly hostName: string;
  /** Mark of our packets. */
  readonly dscp: number | null;
  /** Beyond those of every host of this build. */
  readonly features: readonly string[];
  /** Answers for the connection from now on. The descriptor is the callee's. @param features - that both hosts have */
  onOffer(offer: Message<'offer'>, fd: number, peer: string, features: readonly string[]): void;
  /**
   * Whether the offer goes on to `onOffer`. What it rejects with is told as a refusal.
   * @param signal - aborted when the peer has gone
   */
  screen(offer: Message<'offer'>, peer: string, signal: AbortSignal): Promise<Screening>;
  onJoin(join: Message<'join'>, fd: () => number, peer: string): JoinAnswer;
  /** Absent: this host takes no memory that VMs share. */
  readonly regions?: RegionPolicy | undefined;
}

export interface OpenListener {
  readonly host: string;
  readonly port: number;
  close(): Promise<void>;
}

export function listen(options: ListenOptions): Promise<OpenListener> {
  const undecided = new Set<Socket>();
  const server = createServer({ noDelay: true, pauseOnConnect: false }, (socket) => {
    if (undecided.size >= MAX_UNDECIDED) {
      socket.destroy();
      return;
    }
    if (options.dscp !== null) setDscp(descriptorOf(socket), options.dscp);
    undecided.add(socket);
    new Opening(socket, options, () => undecided.delete(socket)).start();
  });
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const reason = `migration port ${options.host}:${options.port}: ${explainListen(error)}`;
      reject(new GodwitError('GW_HOST_START', { reason }, { cause: error }));
    });
    server.listen(options.port, options.host, () => {
      const address = server.address();
      const port = typeof address === 'object' && address ? address.port : options.port;
      resolve({ host: options.host, port, close: () => close(server, undecided) });
    });
  });
}

class Opening {
  readonly #socket: Socket;
  readonly #options: ListenOptions;
  readonly #decoder = new FrameDecoder('source');
  readonly #peer: string;
  readonly #done: () => void;
  #greeted = false;
  #features: readonly string[] = [];
  #screening = false;
  #over = false;
  readonly #gone = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  constructor(socket: Socket, options: ListenOptions, done: () => void) {
    this.#socket = socket;
    this.#options = options;
    this.#peer = `${socket.remoteAddress ?? 'unknown'}:${socket.remotePort ?? 0}`;
    this.#done = done;
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

  async #screen(offer: Message<'offer'>): Promise<void> {
    this.#screening = true;
    clearTimeout(this.#timer);
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
    this.#screening = true;
    clearTimeout(this.#timer);
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

function close(server: Server, undecided: ReadonlySet<Socket>): Promise<void> {
  for (const socket of undecided) socket.destroy();
  return new Promise((resolve) => server.close(() => resolve()));
}

function explainListen(error: NodeJS.ErrnoException): string {
  if (error.code === 'EADDRINUSE') return 'the port is taken; choose another with --migration-listen HOST:PORT';
  if (error.code === 'EADDRNOTAVAIL') return 'this machine has no such address';
  if (error.code === 'EACCES') return 'not permitted (ports below 1024 need root)';
  return error.code ?? error.message;
}
