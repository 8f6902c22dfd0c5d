/**
 * A connection that has been found good, carried between TLS and the socket that stands for it in this process.
 *
 * Owns: both ends. Must hold: what is not taken at one end is not read at the other; towards the other host one piece is under way
 * at a time, so that nothing waits behind more than that here; what was said before an end arrives before it, and whatever else
 * happens to one end happens to both. Who has ended may hear no more: Node's TLS drops what comes after its own close_notify, and
 * nobody here ends before he has heard everything.
 */
import { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { RelayEntry } from './relay-table.ts';

/** Of bytes towards the other host: four records of TLS. */
const PIECE_BYTES = 64 * 1024;
/** For so long the other host may say nothing once this side has ended: who is not there any more would not hear it. */
const LINGER_MS = 10_000;

export class RelayedConnection {
  readonly #inside: Socket;
  readonly #outside: TLSSocket;
  readonly #entry: RelayEntry;
  readonly #ended: () => void;
  #linger: NodeJS.Timeout | undefined;

  /** @param fd - the end of a pair, this object's from now on */
  constructor(fd: number, outside: TLSSocket, entry: RelayEntry, ended: () => void) {
    this.#outside = outside;
    // From here on; in a handshake the end of one direction is the end of it all.
    outside.allowHalfOpen = true;
    this.#entry = entry;
    this.#ended = ended;
    // @types/node knows `onread` for connecting only; the constructor takes it as well (lib/net.js, Socket).
    const init: ConstructorParameters<typeof Socket>[0] & { onread: unknown } = {
      fd,
      ...{ readable: true, writable: true, allowHalfOpen: true },
      onread: {
        buffer: Buffer.allocUnsafe(PIECE_BYTES),
        callback: (bytes: number, piece: Buffer) => this.#sendOut(piece.subarray(0, bytes)),
      },
    };
    this.#inside = new Socket(init);
    this.#watch();
  }

  destroy(): void {
    this.#inside.destroy();
    this.#outside.destroy();
  }

  /** Nothing more is read until the kernel has taken the piece, whose memory is used again then. */
  #sendOut(piece: Buffer): false {
    this.#entry.hold(piece.length);
    this.#outside.write(piece, () => {
      this.#entry.hold(-piece.length);
      this.#inside.resume();
    });
    return false;
  }

  /** What has come together goes on together: a call, and a thread that wakes up, for each record would cost more than TLS itself. */
  #sendIn(record: Buffer): void {
    const inside = this.#inside;
    this.#linger?.refresh();
    if (inside.writableCorked === 0) {
      inside.cork();
      setImmediate(() => inside.uncork());
    }
    if (!inside.write(record)) this.#outside.pause();
  }

  #watch(): void {
    const inside = this.#inside;
    const outside = this.#outside;
    outside.on('data', (record: Buffer) => this.#sendIn(record));
    inside.on('drain', () => outside.resume());
    inside.on('end', () => {
      outside.end(() => {
        this.#linger = setTimeout(() => this.destroy(), LINGER_MS).unref();
      });
    });
    outside.on('end', () => inside.end());
    inside.on('error', () => this.destroy());
    outside.on('error', () => this.destroy());
    inside.on('close', () => outside.destroySoon());
    outside.on('close', (hadError: boolean) => {
      this.#entry.end();
      clearTimeout(this.#linger);
      if (hadError) inside.destroy();
      else inside.destroySoon();
      this.#ended();
    });
  }
}
