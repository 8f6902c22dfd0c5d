/**
 * A connection that carries pages, from a blocking thread to a blocking thread: frames go one way only.
 *
 * Owns: the descriptor, at either end. No event loop is involved and no byte is copied on the way that need not be; what
 * the connection is made of is hidden behind the descriptor (with TLS it is the end of a socket pair).
 * Must hold: a frame's header is checked before its payload is waited for, and its payload is read to its end; the first
 * error ends the channel; whoever waits here also watches the interrupting descriptor.
 */
import { GodwitError } from '../base/errors.ts';
import { UNACKNOWLEDGED_LIMIT_MS } from '../base/link-limits.ts';
import { countPages, type PageRun } from '../base/page.ts';
import { FileDescriptor } from '../linux/file-descriptor.ts';
import type { FilePiece } from '../linux/ram-file.ts';
import {
  receiveSome,
  sendFromFile,
  sendSome,
  setLinkOption,
  type WaitOptions,
  waitForData,
  waitForRoom,
} from '../linux/socket.ts';
import { SplicePipe } from '../linux/splice-pipe.ts';
import { type FrameHeader, readFrameHeader } from '../wire/frame-types.ts';
import { FRAME_HEADER_BYTES } from '../wire/limits.ts';
import { closedBy, errorName } from './connection.ts';

export interface PageChannelOptions {
  /** Of the other host, for messages. */
  readonly peer: string;
  /** Becomes readable when somebody wants this thread. */
  readonly interruptFd: number;
  /** Called when that happens while the channel waits. The waiting goes on, unless it throws or closes the channel. */
  interrupted(): void;
}

/** A thread that is told to end from outside does so when it comes back from a call. */
const LONGEST_WAIT_MS = 1000;
const DIRECT_RUN_PAGES = 8;

/**
 * Whether pages are best moved from file to file without a copy in between: each run that is sent from its file is a
 * packet of its own, and each that is spliced takes two calls, so it pays for runs of so many pages on average.
 */
export function isBestMovedDirectly(runs: readonly PageRun[]): boolean {
  return countPages(runs) >= runs.length * DIRECT_RUN_PAGES;
}

/** The source's end. */
export class SendingChannel implements Disposable {
  readonly #descriptor: FileDescriptor;
  readonly #options: PageChannelOptions;
  readonly #waiting: WaitOptions;
  readonly #onSent: (bytes: number) => void;

  /** @param onSent - told of every piece that the kernel has taken */
  constructor(fd: number, options: PageChannelOptions, onSent: (bytes: number) => void) {
    this.#descriptor = new FileDescriptor(fd);
    this.#options = options;
    this.#waiting = { interruptFd: options.interruptFd, timeoutMs: LONGEST_WAIT_MS };
    this.#onSent = onSent;
    setLinkOption(fd, 'noDelay', 1);
    setLinkOption(fd, 'userTimeoutMs', UNACKNOWLEDGED_LIMIT_MS);
  }

  get fd(): number {
    return this.#descriptor.fd;
  }

  /** Returns when the kernel has taken all of the parts. @throws GW_WIRE_CLOSED */
  send(parts: readonly Uint8Array[], more = false): void {
    parts.forEach((part, i) => {
      const isFollowed = more || i < parts.length - 1;
      this.#sendAll(part.length, (at) => sendSome(this.fd, at === 0 ? part : part.subarray(at), isFollowed));
    });
  }

  /** A header and the pieces of files behind it, as they are when they leave. @throws GW_WIRE_CLOSED */
  sendFiles(header: Uint8Array, pieces: readonly FilePiece[]): void {
    this.send([header], true);
    for (const { fd, offset, bytes } of pieces) {
      this.#sendAll(bytes, (at) => sendFromFile(this.fd, fd, offset + at, bytes - at));
    }
  }

  [Symbol.dispose](): void {
    this.#descriptor[Symbol.dispose]();
  }

  #sendAll(bytes: number, sendFrom: (at: number) => number): void {
    for (let at = 0; at < bytes; ) {
      const sent = tell(this.#options.peer, () => sendFrom(at));
      at += sent;
      if (sent > 0) this.#onSent(sent);
      else if (waitForRoom(this.fd, this.#waiting) === 'interrupted') this.#options.interrupted();
    }
  }
}

/** So much has come before it is told, or all that there is for now. A link that takes seconds for it is slow, and alive. */
const TOLD_PIECE_BYTES = 256 * 1024;

/** The destination's end. */
export class ReceivingChannel implements Disposable {
  readonly #descriptor: FileDescriptor;
  readonly #options: PageChannelOptions;
  readonly #waiting: WaitOptions;
  readonly #header = new Uint8Array(FRAME_HEADER_BYTES);
  #pipe: SplicePipe | undefined;
  readonly #onReceived: (bytes: number) => void;
  /** That has come and was not told. */
  #untoldBytes = 0;

  /** @param onReceived - told of what has come, now and then and before more is waited for */
  constructor(fd: number, options: PageChannelOptions, onReceived: (bytes: number) => void) {
    this.#onReceived = onReceived;
    this.#descriptor = new FileDescriptor(fd);
    this.#options = options;
    this.#waiting = { interruptFd: options.interruptFd, timeoutMs: LONGEST_WAIT_MS };
    setLinkOption(fd, 'userTimeoutMs', UNACKNOWLEDGED_LIMIT_MS);
  }

  get fd(): number {
    return this.#descriptor.fd;
  }

  /**
   * The next frame's header; its payload is to be read next. undefined: the source has closed the channel.
   * @throws GW_WIRE_…
   */
  readHeader(): FrameHeader | undefined {
    const first = this.#receive(this.#header);
    if (first === 0) return undefined;
    this.#readAll(this.#header.subarray(first));
    return readFrameHeader(this.#header, 0, 'source');
  }

  /** Fills `into` with what comes next of the payload. @throws GW_WIRE_CLOSED */
  read(into: Uint8Array): void {
    this.#readAll(into);
  }

  /** What comes next of the payload goes to the file. @throws GW_WIRE_CLOSED; GW_SYS_CALL of the file */
  readIntoFile({ fd, offset, bytes }: FilePiece): void {
    this.#pipe ??= SplicePipe.create();
    for (let at = 0; at < bytes; ) {
      const piece = Math.min(TOLD_PIECE_BYTES, bytes - at);
      const moved = this.#pipe.move(this.fd, fd, offset + at, piece, this.#waiting);
      if (moved.kind === 'ended') throw closedBy(this.#options.peer, 'the other host closed it');
      if (moved.kind === 'peerGone') throw closedBy(this.#options.peer, moved.reason);
      const movedBytes = moved.kind === 'moved' ? piece : moved.movedBytes;
      at += movedBytes;
      this.#count(movedBytes);
      if (moved.kind === 'interrupted') this.#interrupt();
    }
    this.#tellReceived();
  }

  [Symbol.dispose](): void {
    this.#pipe?.[Symbol.dispose]();
    this.#descriptor[Symbol.dispose]();
  }

  #readAll(into: Uint8Array): void {
    for (let at = 0; at < into.length; ) {
      const bytes = this.#receive(at === 0 ? into : into.subarray(at));
      if (bytes === 0) throw closedBy(this.#options.peer, 'the other host closed it');
      at += bytes;
    }
  }

  #count(bytes: number): void {
    this.#untoldBytes += bytes;
    if (this.#untoldBytes >= TOLD_PIECE_BYTES) this.#tellReceived();
  }

  #tellReceived(): void {
    if (this.#untoldBytes > 0) this.#onReceived(this.#untoldBytes);
    this.#untoldBytes = 0;
  }

  #interrupt(): void {
    this.#options.interrupted();
    if (this.fd < 0) throw closedBy(this.#options.peer, 'another one replaced it');
  }

  /** Waits for some; 0 at the end. */
  #receive(into: Uint8Array): number {
    for (;;) {
      const bytes = tell(this.#options.peer, () => receiveSome(this.fd, into));
      if (bytes >= 0) {
        this.#count(bytes);
        return bytes;
      }
      this.#tellReceived();
      if (waitForData(this.fd, this.#waiting) === 'interrupted') this.#interrupt();
    }
  }
}

/** What goes wrong with the socket is the channel's end. */
function tell(peer: string, action: () => number): number {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof GodwitError) || error.code !== 'GW_SYS_CALL') throw error;
    const { errno } = error.details;
    throw closedBy(peer, typeof errno === 'string' ? errno : errorName(error));
  }
}
