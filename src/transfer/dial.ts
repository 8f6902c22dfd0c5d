/**
 * Dialling a host: a connected socket, or why there is none.
 *
 * Must hold: it ends within the time-out, and at once with the signal; a socket that is handed over is paused and marked. With
 * TLS the relay dials, and the socket is there at once: what goes wrong then comes over it, as a refusal.
 */
import { connect, Socket, type TcpNetConnectOpts } from 'node:net';
import { GodwitError } from '../base/errors.ts';
import { descriptorOf, setDscp } from '../linux/socket.ts';
import { dialByRelay, type RelayPort } from '../tls/relay-orders.ts';
import { errorName } from './connection.ts';

/** How this host's connections to others are made. */
export interface DialPolicy {
  /** Mark of our packets; null: none is set. */
  readonly dscp: number | null;
  /** Who speaks TLS for us; null: nobody, what we send can be read on the way. */
  readonly tls: RelayPort | null;
}

export interface DialTarget extends DialPolicy {
  readonly host: string;
  readonly port: number;
}

type OnRead = NonNullable<TcpNetConnectOpts['onread']>;

/** @throws GW_PEER_UNREACHABLE, GW_TLS_FAILED */
export async function dial(to: DialTarget, timeoutMs: number, signal: AbortSignal, onread: OnRead): Promise<Socket> {
  if (to.tls === null) return await dialTcp(to, timeoutMs, signal, onread);
  const fd = dialByRelay(to.tls, to, timeoutMs);
  // @types/node knows `onread` for connecting only; the constructor takes it as well (lib/net.js, Socket).
  const init: ConstructorParameters<typeof Socket>[0] & { onread: OnRead } = {
    ...{ fd, readable: true, writable: true },
    onread,
  };
  return new Socket(init).pause();
}

function dialTcp(
  { host, port, dscp }: DialTarget,
  timeoutMs: number,
  signal: AbortSignal,
  onread: OnRead,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true, onread });
    const fail = (reason: string, cause?: unknown) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', aborted);
      socket.destroy();
      const details = { peer: `${host}:${port}`, reason };
      reject(new GodwitError('GW_PEER_UNREACHABLE', details, cause === undefined ? {} : { cause }));
    };
    const aborted = () => fail('the migration ended first', signal.reason);
    const timer = setTimeout(() => fail(`no answer within ${timeoutMs} ms`), timeoutMs);
    const failed = (error: Error) => fail(errorName(error));
    signal.addEventListener('abort', aborted, { once: true });
    socket.once('error', failed);
    socket.once('connect', () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', aborted);
      socket.removeListener('error', failed);
      if (dscp !== null) setDscp(descriptorOf(socket), dscp);
      // Before node begins to read: whoever takes it over says when.
      socket.pause();
      resolve(socket);
    });
    if (signal.aborted) aborted();
  });
}
