/**
 * Dialling a host: a connected socket, or why there is none.
 *
 * Must hold: it ends within the time-out, and at once with the signal; a socket that is handed over is paused and marked.
 */
import { connect, type Socket, type TcpNetConnectOpts } from 'node:net';
import { GodwitError } from '../base/errors.ts';
import { descriptorOf, setDscp } from '../linux/socket.ts';
import { errorName } from './connection.ts';

export interface DialTarget {
  readonly host: string;
  readonly port: number;
  /** Mark of our packets; null: none is set. */
  readonly dscp: number | null;
}

/** @throws GW_PEER_UNREACHABLE */
export function dial(
  { host, port, dscp }: DialTarget,
  timeoutMs: number,
  signal: AbortSignal,
  onread: NonNullable<TcpNetConnectOpts['onread']>,
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
