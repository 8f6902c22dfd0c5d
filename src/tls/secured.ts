/**
 * A TLS connection whose other side was found to be who it has to be.
 */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { KEEP_ALIVE_MS, UNACKNOWLEDGED_LIMIT_MS } from '../base/link-limits.ts';
import { setSocketOption } from '../linux/socket.ts';

export interface Secured {
  readonly socket: TLSSocket;
  /** Of the TCP connection below, for as long as that is open. */
  readonly tcpFd: number;
}

/** What a link to another host needs, before TLS has it. */
export function tuneTcp(tcp: Socket, tcpFd: number): void {
  setSocketOption(tcpFd, 'noDelay', 1);
  setSocketOption(tcpFd, 'userTimeoutMs', UNACKNOWLEDGED_LIMIT_MS);
  tcp.setKeepAlive(true, KEEP_ALIVE_MS);
}
