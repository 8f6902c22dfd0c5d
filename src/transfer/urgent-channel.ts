/**
 * The urgent connection, used by a blocking worker on each side: page requests one way, replies the other.
 *
 * Owns: the descriptor and its decoder. No event loop is involved, which is what keeps a fault short; what the
 * connection is made of is hidden behind the descriptor (with TLS it is the end of a socket pair).
 * Must hold: reading never blocks (the caller polls `fd`); a lost link is a value, after which the channel is of no use.
 */
import { GodwitError } from '../base/errors.ts';
import { closeFd, receiveSome, sendAll, setLinkOption } from '../linux/socket.ts';
import { type DecodedFrame, FrameDecoder } from '../wire/decoder.ts';
import type { PeerRole } from '../wire/frame-types.ts';

/** A side that takes nothing for this long is gone. */
const SEND_TIMEOUT_MS = 10_000;

export type UrgentRead = { readonly kind: 'read' } | { readonly kind: 'lost'; readonly reason: string };

export class UrgentChannel implements Disposable {
  readonly fd: number;
  #bytesSent = 0;
  #bytesReceived = 0;
  #open = true;
  readonly #decoder: FrameDecoder;

  constructor(fd: number, peerRole: PeerRole) {
    this.fd = fd;
    this.#decoder = new FrameDecoder(peerRole, 'seen');
    setLinkOption(fd, 'noDelay', 1);
  }

  get bytesSent(): number {
    return this.#bytesSent;
  }

  get bytesReceived(): number {
    return this.#bytesReceived;
  }

  /** Sends whole frames. False when the link is lost. */
  send(bytes: Uint8Array): boolean {
    const outcome = sendAll(this.fd, bytes, { timeoutMs: SEND_TIMEOUT_MS });
    if (outcome.kind !== 'sent') return false;
    this.#bytesSent += bytes.length;
    return true;
  }

  /** Reads what is there and hands every whole frame to `handle`. @throws GW_WIRE_… when the peer breaks the rules */
  read(handle: (frame: DecodedFrame) => void): UrgentRead {
    let bytes: number;
    try {
      bytes = receiveSome(this.fd, this.#decoder.writable());
    } catch (error) {
      if (!(error instanceof GodwitError)) throw error;
      return { kind: 'lost', reason: String(error.details['errno'] ?? error.message) };
    }
    if (bytes === 0) return { kind: 'lost', reason: 'the other host closed it' };
    if (bytes < 0) return { kind: 'read' };
    this.#bytesReceived += bytes;
    this.#decoder.commit(bytes);
    for (let step = this.#decoder.next(); step.kind === 'frame'; step = this.#decoder.next()) handle(step);
    return { kind: 'read' };
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    closeFd(this.fd);
  }
}
