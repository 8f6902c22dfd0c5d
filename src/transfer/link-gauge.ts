/**
 * What a link's kernel, and the relay where TLS is spoken, say of the bytes that are under way.
 *
 * Owns: nothing; the descriptor is the caller's. Must hold: with a relay the numbers are those of the TCP connection behind it,
 * together with what waits before that; before it is connected, and after its end, only of the socket itself.
 */
import { GodwitError } from '../base/errors.ts';
import { unacknowledgedBytes } from '../linux/socket.ts';
import { readTcpBusy, type TcpBusy } from '../linux/tcp-info.ts';
import type { RelayPort } from '../tls/relay-orders.ts';
import { RelayView } from '../tls/relay-table.ts';

export class LinkGauge {
  readonly #fd: number;
  readonly #relayed: RelayView | undefined;

  constructor(fd: number, relay: RelayPort | null) {
    this.#fd = fd;
    this.#relayed = relay === null ? undefined : new RelayView(relay.table, fd);
  }

  /** Given to the kernel, and not acknowledged by the other host's. */
  get unacknowledgedBytes(): number {
    const own = unacknowledgedBytes(this.#fd);
    const relayed = this.#relayed?.read();
    return relayed ? own + relayed.heldBytes + queuedIn(relayed.tcpFd) : own;
  }

  /** undefined: the kernel does not count it. */
  get busy(): TcpBusy | undefined {
    if (!this.#relayed) return readTcpBusy(this.#fd);
    const relayed = this.#relayed.read();
    return relayed && readTcpBusy(relayed.tcpFd);
  }
}

/** The relay may close it at any moment. */
function queuedIn(tcpFd: number): number {
  try {
    return unacknowledgedBytes(tcpFd);
  } catch (error) {
    if (error instanceof GodwitError && error.code === 'GW_SYS_CALL') return 0;
    throw error;
  }
}
