/**
 * A connection over a Node socket: TCP, or the near end of a pair whose far end a relay has (tls/relay-orders.ts).
 *
 * Owns: the socket and its decoder. The socket reads straight into the decoder's buffer.
 * Must hold: what `send` was given is written in one system call where the kernel has room; after the first error
 * nothing is sent or handled any more.
 */
import { Socket } from 'node:net';
import { asGodwitError, type GodwitError } from '../base/errors.ts';
import { KEEP_ALIVE_MS, UNACKNOWLEDGED_LIMIT_MS } from '../base/link-limits.ts';
import { descriptorOf, duplicateFd, setLinkOption } from '../linux/socket.ts';
import type { RelayPort } from '../tls/relay-orders.ts';
import { FrameDecoder } from '../wire/decoder.ts';
import type { PeerRole } from '../wire/frame-types.ts';
import { type Connection, closedBy, errorName, type FrameHandler } from './connection.ts';
import { type DialTarget, dial } from './dial.ts';
import { LinkGauge } from './link-gauge.ts';

/** How long a connection that was closed here waits for the other side to close it too. */
const LINGER_MS = 1000;
/** Where bytes go that come after the end. */
const DISCARDED = new Uint8Array(64 * 1024);

export interface StreamConnectionOptions {
  readonly peer: string;
  /** The role of the host at the other end. */
  readonly peerRole: PeerRole;
  /** `seen`: the opening was read by somebody else, as when a descriptor was handed over. */
  readonly preface: 'expected' | 'seen';
}

/**
 * `framewise`: one frame at a time, the first of them at once, the others by `readNext`. Nothing that comes after it is read, so that a
 * descriptor that is detached then still has all of it.
 */
export type Reading = 'ahead' | 'framewise';

export class StreamConnection implements Connection {
  readonly peer: string;
  readonly closed: Promise<GodwitError>;
  #socket!: Socket;
  #gauge!: LinkGauge;
  #bytesSent = 0;
  #bytesReceived = 0;
  readonly #decoder: FrameDecoder;
  #handler: FrameHandler | undefined;
  readonly #isFramewise: boolean;
  #reason: GodwitError | undefined;
  #resolveClosed!: (reason: GodwitError) => void;

  private constructor(options: StreamConnectionOptions, reading: Reading = 'ahead') {
    this.peer = options.peer;
    this.#isFramewise = reading === 'framewise';
    this.#decoder = new FrameDecoder(options.peerRole, options.preface);
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
  }

  /** Dials a host. @throws GW_PEER_UNREACHABLE */
  static async dial(
    to: DialTarget,
    timeoutMs: number,
    signal: AbortSignal,
    reading: Reading = 'ahead',
  ): Promise<StreamConnection> {
    const peer = `${to.host}:${to.port}`;
    const connection = new StreamConnection({ peer, peerRole: 'destination', preface: 'expected' }, reading);
    connection.#attach(await dial(to, timeoutMs, signal, connection.#onread()), to.tls);
    return connection;
  }

  /** Takes over a connected TCP socket's descriptor. */
  static fromFd(fd: number, options: StreamConnectionOptions): StreamConnection {
    const connection = new StreamConnection(options);
    // @types/node knows `onread` for connecting only; the constructor takes it as well (lib/net.js, Socket).
    const init: ConstructorParameters<typeof Socket>[0] & { onread: unknown } = {
      fd,
      readable: true,
      writable: true,
      onread: connection.#onread(),
    };
    const socket = new Socket(init);
    socket.setNoDelay(true);
    connection.#attach(socket, null);
    return connection;
  }

  get bytesSent(): number {
    return this.#bytesSent;
  }

  get bytesReceived(): number {
    return this.#bytesReceived;
  }

  get queuedBytes(): number {
    return this.#socket.writableLength;
  }

  get unacknowledgedBytes(): number {
    return this.#reason ? 0 : this.#socket.writableLength + this.#gauge.unacknowledgedBytes;
  }

  get isClosed(): boolean {
    return this.#reason !== undefined;
  }

  send(...parts: readonly Uint8Array[]): Promise<void> {
    if (this.#reason) return Promise.reject(this.#reason);
    return new Promise((resolve, reject) => {
      const socket = this.#socket;
      const last = parts.length - 1;
      if (last > 0) socket.cork();
      for (let i = 0; i <= last; i++) {
        this.#bytesSent += parts[i]!.length;
        if (i < last) socket.write(parts[i]!);
        else
          socket.write(parts[i]!, (error) =>
            error ? reject(this.#reason ?? closedBy(this.peer, errorName(error))) : resolve(),
          );
      }
      if (last > 0) socket.uncork();
    });
  }

  receive(handler: FrameHandler): void {
    this.#handler = handler;
    this.#drain();
    if (!this.#reason) this.#socket.resume();
  }

  /** The frame after those that were handled; one that reads ahead does so anyway. */
  readNext(): void {
    if (this.#isFramewise && !this.#reason) this.#socket.resume();
  }

  /** Stops reading and gives the descriptor away as a copy; this object is closed afterwards and the link stays up. */
  detach(): number {
    if (this.#reason) throw this.#reason;
    const fd = duplicateFd(descriptorOf(this.#socket));
    this.#fail(closedBy(this.peer, 'handed over'));
    return fd;
  }

  close(): void {
    if (this.#reason) return;
    const reason = closedBy(this.peer, 'closed here');
    this.#reason = reason;
    // Closing with unread data would reset the connection, and the reset overtakes what was said last: what still
    // comes is thrown away until the other side closes too.
    this.#socket.resume();
    this.#socket.end();
    setTimeout(() => this.#socket.destroy(), LINGER_MS).unref();
    this.#resolveClosed(reason);
  }

  destroy(reason: GodwitError = closedBy(this.peer, 'closed here')): void {
    this.#fail(reason);
  }

  #onread(): { buffer: () => Uint8Array; callback: (bytes: number) => boolean } {
    return {
      buffer: () => {
        if (this.#reason) return DISCARDED;
        return this.#isFramewise ? this.#decoder.writableForNext() : this.#decoder.writable();
      },
      callback: (bytes) => {
        this.#bytesReceived += bytes;
        if (this.#reason) return true;
        this.#decoder.commit(bytes);
        const isFrame = this.#drain();
        return this.#handler !== undefined && !(isFrame && this.#isFramewise);
      },
    };
  }

  #attach(socket: Socket, relay: RelayPort | null): void {
    this.#socket = socket;
    const fd = descriptorOf(socket);
    this.#gauge = new LinkGauge(fd, relay);
    setLinkOption(fd, 'userTimeoutMs', UNACKNOWLEDGED_LIMIT_MS);
    // With a user timeout the kernel gives up on an idle connection at its first unanswered probe after that time.
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    socket.on('error', (error) => this.#fail(closedBy(this.peer, errorName(error))));
    socket.on('end', () => this.#fail(closedBy(this.peer, 'the other host closed it')));
    socket.on('close', () => this.#fail(closedBy(this.peer, 'the other host closed it')));
    if (!this.#handler) socket.pause();
  }

  /** Whether there was a frame. */
  #drain(): boolean {
    let isFrame = false;
    while (this.#handler && !this.#reason) {
      try {
        const step = this.#decoder.next();
        if (step.kind === 'needMore') return isFrame;
        isFrame = true;
        this.#handler(step);
      } catch (error) {
        this.#fail(asGodwitError(error));
      }
    }
    return isFrame;
  }

  #fail(reason: GodwitError): void {
    this.#socket.destroy();
    if (this.#reason) return;
    this.#reason = reason;
    this.#resolveClosed(reason);
  }
}
