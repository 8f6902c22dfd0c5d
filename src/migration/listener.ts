/**
 * The migration port of a host (V2): who dials is heard, told apart, and handed to a migration's thread.
 *
 * Owns: the listening socket, and every connection until its opening message (heard-opening.ts). Must hold: only so many are
 * undecided at once (undecided-places.ts); with TLS nothing of a connection is read here, but by the relay.
 */
import { createServer, type Server, Socket } from 'node:net';
import { GodwitError, hasCode } from '../base/errors.ts';
import { descriptorOf, duplicateFd, setDscp } from '../linux/socket.ts';
import { acceptByRelay, type RelayPort } from '../tls/relay-orders.ts';
import type { ControlMessage, Message } from '../wire/messages.ts';
import { HeardOpening } from './heard-opening.ts';
import type { RegionPolicy } from './region-policy.ts';
import { UndecidedPlaces } from './undecided-places.ts';

export type Screening =
  | { readonly kind: 'goesOn' }
  /** The answer is the end of it. */
  | { readonly kind: 'answer'; readonly message: ControlMessage }
  /** The source may offer again on this connection. */
  | { readonly kind: 'later'; readonly message: Message<'notReady'> };

/**
 * `taken`: the descriptor is the callee's. `unknown`: no migration has this session key. `over`: shared memory had it, and is
 * all here. `notNow`: one has, and nobody can answer for it at this moment; whoever is told nothing dials again.
 */
export type JoinAnswer = 'taken' | 'unknown' | 'over' | 'notNow';

export interface ListenOptions {
  readonly host: string;
  readonly port: number;
  readonly hostName: string;
  /** Mark of our packets. */
  readonly dscp: number | null;
  /** Who speaks TLS for us; null: nobody, and whoever dials is heard. */
  readonly tls: RelayPort | null;
  /** Beyond those of every host of this build. */
  readonly features: readonly string[];
  /** Answers for the connection from now on. The descriptor is the callee's. @param features - that both hosts have */
  onOffer(offer: Message<'offer'>, fd: number, peer: string, features: readonly string[]): void;
  /**
   * Whether the offer goes on to `onOffer`. What it rejects with is told as a refusal.
   * @param signal - aborted when the peer has gone
   */
  screen(offer: Message<'offer'>, peer: string, signal: AbortSignal): Promise<Screening>;
  onJoin(join: Message<'join'>, fd: () => number, peer: string): JoinAnswer;
  /** Absent: this host takes no memory that VMs share. */
  readonly regions?: RegionPolicy | undefined;
}

export interface OpenListener {
  readonly host: string;
  readonly port: number;
  close(): Promise<void>;
}

export function listen(options: ListenOptions): Promise<OpenListener> {
  const places = new UndecidedPlaces();
  const server = createServer({ noDelay: true, pauseOnConnect: options.tls !== null }, (accepted) => {
    const address = accepted.remoteAddress ?? 'unknown';
    if (!places.makeRoom(address)) {
      accepted.destroy();
      return;
    }
    if (options.dscp !== null) setDscp(descriptorOf(accepted), options.dscp);
    const peer = `${address}:${accepted.remotePort ?? 0}`;
    const socket = options.tls === null ? accepted : relayed(accepted, options.tls, peer);
    if (!socket) return;
    const opening: HeardOpening = new HeardOpening(socket, peer, options, () => places.leave(opening));
    places.take(opening, address);
    opening.start();
  });
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const reason = `migration port ${options.host}:${options.port}: ${explainListen(error)}`;
      reject(new GodwitError('GW_HOST_START', { reason }, { cause: error }));
    });
    server.listen(options.port, options.host, () => {
      const own = server.address();
      const port = typeof own === 'object' && own ? own.port : options.port;
      resolve({ host: options.host, port, close: () => close(server, places) });
    });
  });
}

/** What comes of it once the relay has found the other host good. undefined: the relay takes nothing at this moment. */
function relayed(accepted: Socket, tls: RelayPort, peer: string): Socket | undefined {
  const tcpFd = duplicateFd(descriptorOf(accepted));
  accepted.destroy();
  try {
    return new Socket({ fd: acceptByRelay(tls, tcpFd, peer), readable: true, writable: true });
  } catch (error) {
    if (hasCode(error, 'GW_TLS_FAILED')) return undefined;
    throw error;
  }
}

function close(server: Server, places: UndecidedPlaces): Promise<void> {
  places.dropAll();
  return new Promise((resolve) => server.close(() => resolve()));
}

function explainListen(error: NodeJS.ErrnoException): string {
  if (error.code === 'EADDRINUSE') return 'the port is taken; choose another with --migration-listen HOST:PORT';
  if (error.code === 'EADDRNOTAVAIL') return 'this machine has no such address';
  if (error.code === 'EACCES') return 'not permitted (ports below 1024 need root)';
  return error.code ?? error.message;
}
