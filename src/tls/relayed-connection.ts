/**
 * A connection carried between TLS and the socket that stands for it in this process.
 *
 * Owns: the inside from the first, the outside once it has been found good. Must hold: what is not taken at one end is not read at
 * the other; towards the other host one piece is under way at a time, so that nothing waits behind more than that here; what was said
 * before an end arrives before it, and whatever else happens to one end happens to both. Who has ended may hear no more: Node's TLS
 * drops what comes after its own close_notify, and nobody here ends before he has heard everything.
 */
import { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { GodwitError } from '../base/errors.ts';
import { closeFd } from '../linux/socket.ts';
import type { RelayEntry } from './relay-table.ts';
import { tellRefusal } from './told-refusal.ts';

/** Of bytes towards the other host: four records of TLS. */
const PIECE_BYTES = 64 * 1024;
/** For so long the other host may say nothing once this side has ended: who is not there any more would not hear it. */
const LINGER_MS = 10_000;

type SocketInit = NonNullable<ConstructorParameters<typeof Socket>[0]>;

interface Carried {
  readonly outside: TLSSocket;
  readonly entry: RelayEntry;
}

export class RelayedConnection {
  readonly #inside: Socket;
  readonly #ended: () => void;
  readonly #gone = new AbortController();
  #carried: Carried | undefined;
  #linger: NodeJS.Timeout | undefined;

  /**
   * @param fd - the end of a pair, this object's from now on
   * @param ended - called once, when both ends are closed
   */
  constructor(fd: number, ended: () => void) {
    this.#ended = ended;
    // @types/node knows `onread` for connecting only; the constructor takes it as well (lib/net.js, Socket).
    const init: SocketInit & { onread: unknown } = {
      allowHalfOpen: true,
      onread: {
        buffer: Buffer.allocUnsafe(PIECE_BYTES),
        callback: (bytes: number, piece: Buffer) => this.#take(piece.subarray(0, bytes)),
      },
    };
    this.#inside = socketOwning(fd, init).pause();
    this.#inside.on('error', () => this.destroy());
    this.#inside.on('end', () => this.#insideEnded());
    this.#inside.on('close', () => this.#insideClosed());
  }

  /** Aborted, with the reason, when nobody waits for it any more. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** From now on `gone` is aborted also when the inside ends: for one whose inside does not speak first. */
  awaitEnd(): void {
    this.#inside.resume();
  }

  carry(outside: TLSSocket, entry: RelayEntry): void {
    this.#carried = { outside, entry };
    // From here on; in a handshake the end of one direction is the end of it all.
    outside.allowHalfOpen = true;
    outside.on('data', (record: Buffer) => this.#sendIn(record));
    this.#inside.on('drain', () => outside.resume());
    outside.on('end', () => this.#inside.end());
    outside.on('error', () => this.destroy());
    outside.on('close', (hadError: boolean) => {
      entry.end();
      clearTimeout(this.#linger);
      if (hadError) this.#inside.destroy();
      else this.#inside.destroySoon();
      this.#ended();
    });
    this.#inside.resume();
  }

  /** Ends it, and says at the inside why. */
  refuse(error: GodwitError): void {
    void tellRefusal(this.#inside, error);
  }

  destroy(reason: string = 'nobody here waits for it any more'): void {
    this.#gone.abort(new Error(reason));
    this.#inside.destroy();
    this.#carried?.outside.destroy();
  }

  /** What is not carried, because it was refused, is read to its end for the sake of the answer. */
  #take(piece: Buffer): boolean {
    if (!this.#carried) return true;
    this.#sendOut(piece, this.#carried);
    return false;
  }

  /** Nothing more is read until the kernel has taken the piece, whose memory is used again then. */
  #sendOut(piece: Buffer, { outside, entry }: Carried): void {
    entry.hold(piece.length);
    outside.write(piece, () => {
      entry.hold(-piece.length);
      this.#inside.resume();
    });
  }

  /**
   * What has come together goes on together: a call, and a thread that wakes up, for each record would cost more than TLS itself. More
   * than the inside's high-water mark never does, so that no connection has the thread for long.
   */
  #sendIn(record: Buffer): void {
    const inside = this.#inside;
    this.#linger?.refresh();
    if (inside.writableCorked === 0) {
      inside.cork();
      setImmediate(() => inside.uncork());
    }
    if (!inside.write(record)) this.#carried!.outside.pause();
  }

  #insideEnded(): void {
    if (!this.#carried) {
      this.destroy();
      return;
    }
    this.#carried.outside.end(() => {
      this.#linger = setTimeout(() => this.destroy(), LINGER_MS).unref();
    });
  }

  #insideClosed(): void {
    if (this.#carried) this.#carried.outside.destroySoon();
    else this.#ended();
  }
}

/** Closed when that fails. */
export function socketOwning(fd: number, init: SocketInit = {}): Socket {
  try {
    return new Socket({ ...init, fd, readable: true, writable: true });
  } catch (error) {
    closeFd(fd);
    throw error;
  }
}
