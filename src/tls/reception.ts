/**
 * TLS to another host, as the one that was dialled.
 *
 * Owns: Node's TLS server, which listens nowhere: connections are given to it. Must hold: nothing that was received is handed on
 * before the certificate of who has dialled was found good; who does not speak TLS is told in clear that it has to.
 */
import { constants } from 'node:crypto';
import { Socket } from 'node:net';
import { createServer, type SecureContextOptions, type Server, type TLSSocket } from 'node:tls';
import { GodwitError } from '../base/errors.ts';
import { watchReadable } from '../linux/poll.ts';
import { closeFd } from '../linux/socket.ts';
import { peekByte } from '../linux/socket-pair.ts';
import { allowanceRefusal, certificateRefusal, handshakeFailure, type Parties } from './refusals.ts';
import { type Secured, tuneTcp } from './secured.ts';
import { tellRefusal } from './told-refusal.ts';

export interface ReceptionOptions {
  /** This host's name, for messages. */
  readonly by: string;
  /** Who may send VMs here; undefined: every host with a certificate. */
  readonly allow: readonly string[] | undefined;
}

/** For a stranger to begin, and for the handshake. */
const HANDSHAKE_TIMEOUT_MS = 5000;
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
   * @param tcpFd - this object's, whatever happens
   * @throws GW_TLS_…, and then the other host was told
   */
  async receive(tcpFd: number, peer: string, credentials: SecureContextOptions): Promise<Secured> {
    const parties = { by: this.#options.by, peer };
    const first = await firstByte(tcpFd);
    if (first === undefined) {
      closeFd(tcpFd);
      throw new GodwitError('GW_TLS_FAILED', { peer, reason: 'it has said nothing' });
    }
    const tcp = new Socket({ fd: tcpFd, readable: true, writable: true });
    if (first !== HANDSHAKE_RECORD) {
      const error = new GodwitError('GW_TLS_REQUIRED', { ...parties });
      tellRefusal(tcp, error);
      throw error;
    }
    tuneTcp(tcp, tcpFd);
    const socket = await this.#shakeHands(tcp, credentials).catch((error: Error) => {
      throw handshakeFailure(error, parties);
    });
    const refusal = this.#refusalOf(socket, parties);
    if (!refusal) return { socket, tcpFd };
    tellRefusal(socket, refusal);
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

  #shakeHands(tcp: Socket, credentials: SecureContextOptions): Promise<TLSSocket> {
    const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>();
    const key = keyOf(tcp);
    this.#waiting.set(key, { resolve, reject });
    tcp.once('close', () => {
      this.#waiting.delete(key);
      reject(new Error('it has closed the connection'));
    });
    this.#serverWith(credentials).emit('connection', tcp);
    return promise;
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
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      requestCert: true,
      // It is judged after the handshake, so that who is refused can be told why.
      rejectUnauthorized: false,
    });
    server.on('secureConnection', (socket) => {
      const key = keyOf(socket);
      const waiting = this.#waiting.get(key);
      this.#waiting.delete(key);
      if (waiting) waiting.resolve(socket);
      else socket.destroy();
    });
    server.on('tlsClientError', (error, socket) => this.#waiting.get(keyOf(socket))?.reject(error));
    return server;
  }
}

function keyOf({ remoteAddress, remotePort, localAddress }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress}`;
}

/** undefined: nothing has come, or will come. */
function firstByte(fd: number): Promise<number | undefined> {
  const { promise, resolve } = Promise.withResolvers<number | undefined>();
  const timer = setTimeout(() => resolve(undefined), HANDSHAKE_TIMEOUT_MS);
  const watch = watchReadable(fd, () => resolve(peekByte(fd)));
  return promise.finally(() => {
    clearTimeout(timer);
    watch[Symbol.dispose]();
  });
}
