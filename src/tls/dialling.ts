/**
 * TLS to another host, as the one that dials.
 *
 * Must hold: nothing is sent before the other host's certificate, and the name in it, were found good; it ends within the time-out,
 * and when nobody waits for it any more.
 */
import { connect, isIP } from 'node:net';
import { connect as connectTls, type SecureContext } from 'node:tls';
import { GodwitError } from '../base/errors.ts';
import { descriptorOf, setDscp } from '../linux/socket.ts';
import { certificateRefusal, handshakeFailure, nameRefusal } from './refusals.ts';
import { type Secured, tuneTcp } from './secured.ts';

export interface TlsTarget {
  readonly host: string;
  readonly port: number;
  readonly dscp: number | null;
  readonly timeoutMs: number;
  /** The certificate has to be for one of these names or addresses. */
  readonly wanted: readonly string[];
  /** This host's name, for messages. */
  readonly by: string;
  readonly context: SecureContext;
  /** Aborted when nobody waits for it any more. */
  readonly signal: AbortSignal;
}

/** @throws GW_PEER_UNREACHABLE, GW_TLS_… */
export function dialTls({ host, port, dscp, timeoutMs, wanted, by, context, signal }: TlsTarget): Promise<Secured> {
  const { promise, resolve, reject } = Promise.withResolvers<Secured>();
  const parties = { by, peer: `${host}:${port}` };
  const tcp = connect({ host, port });
  const fail = (error: GodwitError): void => {
    clearTimeout(timer);
    signal.removeEventListener('abort', abandon);
    tcp.destroy();
    reject(error);
  };
  const unreachable = (reason: string): void =>
    fail(new GodwitError('GW_PEER_UNREACHABLE', { peer: parties.peer, reason }));
  const timer = setTimeout(() => unreachable(`no answer within ${timeoutMs} ms`), timeoutMs);
  const abandon = (): void => unreachable((signal.reason as Error).message);
  signal.addEventListener('abort', abandon, { once: true });
  const noConnection = (error: NodeJS.ErrnoException): void => unreachable(error.code ?? error.message);
  tcp.once('error', noConnection);
  tcp.once('connect', () => {
    tcp.off('error', noConnection);
    const tcpFd = descriptorOf(tcp);
    tuneTcp(tcp, tcpFd);
    if (dscp !== null) setDscp(tcpFd, dscp);
    const socket = connectTls({
      socket: tcp,
      secureContext: context,
      ...(isIP(wanted[0]!) === 0 ? { servername: wanted[0]! } : {}),
      // What it shows is judged below, where it can still be told what is wrong with it.
      rejectUnauthorized: false,
      checkServerIdentity: () => undefined,
    });
    socket.once('error', (error) => fail(handshakeFailure(error, parties)));
    socket.once('close', () => fail(handshakeFailure(new Error('it has closed the connection'), parties)));
    socket.once('secureConnect', () => {
      const certificate = socket.getPeerCertificate();
      const refusal = socket.authorized
        ? nameRefusal(wanted, certificate, parties)
        : certificateRefusal(String(socket.authorizationError), parties, certificate);
      if (refusal) {
        socket.destroy();
        fail(refusal);
        return;
      }
      clearTimeout(timer);
      signal.removeEventListener('abort', abandon);
      socket.removeAllListeners('error').removeAllListeners('close');
      resolve({ socket, tcpFd });
    });
  });
  return promise;
}
