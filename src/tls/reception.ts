/**
 * TLS to another host, as the one that was dialled.
 *
 * Owns: Node's TLS server, which listens nowhere: connections are given to it. Must hold: nothing that was received is handed on
 * before the certificate of who has dialled was found good; who does not speak TLS is told in clear that it has to; of who is not
 * found good nothing stays open once that is told, whatever it does or leaves undone.
 */
import { constants } from 'node:crypto';
import type { Socket } from 'node:net';
import { createServer, type SecureContextOptions, type Server, type TLSSocket } from 'node:tls';
import { GodwitError } from '../base/errors.ts';
import { allowanceRefusal, certificateRefusal, handshakeFailure, type Parties } from './refusals.ts';
import { type Secured, tuneTcp } from './secured.ts';
import { tellRefusal } from './told-refusal.ts';

export interface ReceptionOptions {
  /** This host's name, for messages. */
  readonly by: string;
  /** Who may send VMs here; undefined: every host with a certificate. */
  readonly allow: readonly string[] | undefined;
}

/** Somebody who has dialled. */
export interface Arrival {
  /** Of which nothing was read; this object's from now on. */
  readonly tcp: Socket;
  readonly tcpFd: number;
  /** Its address, for messages. */
  readonly peer: string;
  /** Aborted, with the reason, when it has taken too long or nobody waits for it any more. */
  readonly signal: AbortSignal;
}

/** ContentType.handshake of RFC 8446, section 5.1: with it every TLS connection begins. */
const HANDSHAKE_RECORD = 0x16;

interface Waiting {
  readonly resolve: (socket: TLSSocket) => void;
  readonly reject: (error: Error) => void;
}

export class Reception {
  readonly #options: ReceptionOptions;
  #server: Server | undefined;
  #credentials: SecureContextOptions | undefined;
  /** By the addresses of both ends: Node does not tell which connection has become which TLS socket. */
  readonly #waiting = new Map<string, Waiting>();

  constructor(options: ReceptionOptions) {
    this.#options = options;
  }

  /**
   * @param credentials - asked once the other side has begun, which may be long after it has connected
   * @throws GW_TLS_…, and then the other host was told and its connection is closed
   */
  async receive(arrival: Arrival, credentials: () => SecureContextOptions): Promise<Secured> {
    const { tcp, peer, signal } = arrival;
    const abandon = (): void => void tcp.destroy();
    tcp.on('error', abandon);
    signal.addEventListener('abort', abandon);
    try {
      signal.throwIfAborted();
      return await this.#receive(arrival, credentials);
    } catch (error) {
      tcp.destroy();
      if (!signal.aborted) throw error;
      throw new GodwitError('GW_TLS_FAILED', { peer, reason: (signal.reason as Error).message });
    } finally {
      signal.removeEventListener('abort', abandon);
    }
  }

  async #receive({ tcp, tcpFd, peer }: Arrival, credentials: () => SecureContextOptions): Promise<Secured> {
    const parties = { by: this.#options.by, peer };
    const first = await firstByte(tcp);
    if (first === undefined) throw new GodwitError('GW_TLS_FAILED', { peer, reason: 'it has said nothing' });
    if (first !== HANDSHAKE_RECORD) {
      const error = new GodwitError('GW_TLS_REQUIRED', { ...parties });
      await tellRefusal(tcp, error);
      throw error;
    }
    tuneTcp(tcp, tcpFd);
    const socket = await this.#shakeHands(tcp, credentials()).catch((error: Error) => {
      throw handshakeFailure(error, parties);
    });
    const refusal = this.#refusalOf(socket, parties);
    if (!refusal) return { socket, tcpFd };
    await tellRefusal(socket, refusal);
    throw refusal;
  }

  #refusalOf(socket: TLSSocket, parties: Parties): GodwitError | undefined {
    const certificate = socket.getPeerCertificate();
    if (!socket.authorized) {
      const isThere = certificate && Object.keys(certificate).length > 0;
      if (!isThere) return new GodwitError('GW_TLS_NO_CERTIFICATE', { ...parties });
      return certificateRefusal(String(socket.authorizationError), parties, certificate);
    }
    return allowanceRefusal(this.#options.allow, certificate, parties);
  }

  async #shakeHands(tcp: Socket, credentials: SecureContextOptions): Promise<TLSSocket> {
    const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>();
    const key = keyOf(tcp);
    this.#waiting.set(key, { resolve, reject });
    tcp.once('close', () => reject(new Error('it has closed the connection')));
    try {
      this.#serverWith(credentials).emit('connection', tcp);
      return await promise;
    } finally {
      this.#waiting.delete(key);
    }
  }

  /** Connections that are open keep what they have begun with. */
  #serverWith(credentials: SecureContextOptions): Server {
    if (this.#server && this.#credentials === credentials) return this.#server;
    this.#credentials = credentials;
    // Who comes again is looked at again: a session that is resumed shows no certificate.
    const context = { ...credentials, secureOptions: constants.SSL_OP_NO_TICKET };
    if (this.#server) this.#server.setSecureContext(context);
    else this.#server = this.#open(context);
    return this.#server;
  }

  #open(context: SecureContextOptions): Server {
    const server = createServer({
      ...context,
      requestCert: true,
      // It is judged after the handshake, so that who is refused can be told why.
      rejectUnauthorized: false,
    });
    server.on('secureConnection', (socket) => {
      // Before anything else: one that nobody waits for may fail as well.
      socket.on('error', () => socket.destroy());
      const waiting = this.#waiting.get(keyOf(socket));
      if (waiting) waiting.resolve(socket);
      else socket.destroy();
    });
    // Node only tells it: the connection stays open.
    server.on('tlsClientError', (error, socket) => {
      this.#waiting.get(keyOf(socket))?.reject(error);
      socket.destroy();
    });
    return server;
  }
}

function keyOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}

/** It stays to be read. undefined: nothing has come, or will come. */
async function firstByte(tcp: Socket): Promise<number | undefined> {
  const { promise, resolve } = Promise.withResolvers<void>();
  tcp.once('readable', resolve).once('close', resolve);
  await promise;
  const begun = tcp.destroyed ? null : (tcp.read() as Buffer | null);
  if (begun === null) return undefined;
  tcp.unshift(begun);
  return begun[0];
}
