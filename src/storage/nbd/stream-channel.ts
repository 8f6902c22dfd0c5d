/**
 * A connection on one of node's own sockets: what TLS needs.
 *
 * Owns: the socket.
 */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { explain, hasCode } from '../../base/errors.ts';
import { descriptorOf, receiveSome } from '../../linux/socket.ts';
import type { ByteChannel, ChannelEvents } from './byte-channel.ts';

/** What node reads at once: there may be more. */
const NODE_READ_BYTES: number = 64 * 1024;
/** Of one client before it is another one's turn. */
const MAX_TURN_BYTES: number = 4 * 2 ** 20;

export class StreamChannel implements ByteChannel {
  readonly peer: string;
  readonly #socket: Socket;
  /** A reader that has seen its end closes; so do we. */
  readonly #listeners: readonly (readonly [string, (argument: Buffer & NodeJS.ErrnoException) => void])[] = [
    ['data', (chunk) => this.#take(chunk)],
    ['end', () => this.#socket.destroy()],
    ['error', (error) => this.#fail(error)],
    ['close', () => this.#events?.closed(this.#reason)],
  ];
  #reason: string | undefined;
  #isCorked = false;
  #events: ChannelEvents | undefined;

  constructor(socket: Socket, peer: string) {
    this.#socket = socket;
    this.peer = peer;
  }

  begin(events: ChannelEvents): void {
    const isFirst = this.#events === undefined;
    this.#events = events;
    if (isFirst) for (const [name, listener] of this.#listeners) this.#socket.on(name, listener);
  }

  send(pieces: readonly Uint8Array[], sent?: () => void): void {
    if (!this.#isCorked) {
      this.#isCorked = true;
      this.#socket.cork();
      // With what is answered in the same turn.
      setImmediate(() => {
        this.#isCorked = false;
        this.#socket.uncork();
      });
    }
    const last = pieces.length - 1;
    for (let index = 0; index < last; index++) this.#socket.write(pieces[index]!);
    // Also called, with an error, when the socket has gone.
    this.#socket.write(pieces[last]!, sent);
  }

  /** The socket, with nothing of this channel on it any more; for a TLS socket on top of it. */
  detach(): Socket {
    for (const [name, listener] of this.#listeners) this.#socket.off(name, listener);
    return this.#socket;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    this.#socket.end(() => this.#socket.destroy());
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #fail(error: NodeJS.ErrnoException): void {
    this.#reason = error.code ?? error.message;
  }

  #take(chunk: Buffer): void {
    for (let at = 0; at < chunk.length && !this.#socket.destroyed; ) {
      const room = this.#events!.writable();
      const count = Math.min(room.length, chunk.length - at);
      room.set(chunk.subarray(at, at + count));
      at += count;
      this.#events!.received(count);
    }
    if (chunk.length === NODE_READ_BYTES) this.#takeMore();
  }

  /**
   * What the kernel has besides goes straight to where it belongs: in pieces as large as they are, and without node's copy.
   * Must hold: node has nothing of it, which would have to come first.
   */
  #takeMore(): void {
    const socket = this.#socket;
    if (socket instanceof TLSSocket) return;
    const isOpen = (): boolean => !socket.destroyed && !socket.isPaused() && socket.readableLength === 0;
    try {
      for (let taken = 0; taken < MAX_TURN_BYTES && isOpen(); ) {
        const count = receiveSome(descriptorOf(socket), this.#events!.writable());
        // Nothing now, or nothing ever: node finds out which.
        if (count <= 0) return;
        taken += count;
        this.#events!.received(count);
      }
    } catch (error) {
      if (!hasCode(error, 'GW_SYS_CALL')) throw error;
      this.#reason = explain(error);
      socket.destroy();
    }
  }
}
