/**
 * What the relay is asked for, by any thread of the process: a connection to another host, or one from it.
 *
 * A thread makes a pair of sockets, gives one end to the relay and keeps the other: for it that is the connection, from the first
 * byte on. What goes wrong at the relay is told there in the other host's name, as `refused`, so that there is one way to hear of it.
 * Orders go as messages through a socket whose number every thread knows: no thread needs a port of its own, and whichever thread of
 * the relay is free takes the next one.
 * Must hold: a descriptor that could not be handed over is closed.
 */
import { asGodwitError, GodwitError } from '../base/errors.ts';
import { closeFd, sendAll } from '../linux/socket.ts';
import { openSocketPair } from '../linux/socket-pair.ts';
import { inodeOf } from './relay-table.ts';

/** How threads reach the relay; can be given to every thread of the process. */
export interface RelayPort {
  /** Where orders are written. */
  readonly ordersFd: number;
  /** See relay-table.ts. */
  readonly table: SharedArrayBuffer;
}

interface RelayedSocket {
  /** The relay's end. */
  readonly fd: number;
  /** Of the other end, in decimal. */
  readonly inode: string;
}

export type RelayOrder =
  | (RelayedSocket & {
      readonly kind: 'dial';
      readonly host: string;
      readonly port: number;
      /** Mark of our packets; null: none is set. */
      readonly dscp: number | null;
      /** Until the other host has shown its certificate. */
      readonly timeoutMs: number;
    })
  | (RelayedSocket & { readonly kind: 'accept'; readonly tcpFd: number; readonly peer: string });

/** More than any order needs: names of hosts have at most 253 bytes. One that is cut could not be read. */
export const MAX_ORDER_BYTES = 4096;
/** The relay takes an order in a moment; who gives one may be the daemon's own thread. */
const ORDER_TIMEOUT_MS = 100;

/** @returns the descriptor of the connection, the caller's @throws GW_TLS_FAILED */
export function dialByRelay(
  relay: RelayPort,
  to: { readonly host: string; readonly port: number; readonly dscp: number | null },
  timeoutMs: number,
): number {
  const { host, port, dscp } = to;
  return give(relay, `${host}:${port}`, (socket) => ({ kind: 'dial', ...socket, host, port, dscp, timeoutMs }));
}

/**
 * @param tcpFd - the accepted connection, of which nothing was read; the relay's from now on, whatever happens
 * @returns the descriptor of the connection, the caller's
 * @throws GW_TLS_FAILED
 */
export function acceptByRelay(relay: RelayPort, tcpFd: number, peer: string): number {
  try {
    return give(relay, peer, (socket) => ({ kind: 'accept', ...socket, tcpFd, peer }));
  } catch (error) {
    closeFd(tcpFd);
    throw error;
  }
}

function give(relay: RelayPort, peer: string, order: (socket: RelayedSocket) => RelayOrder): number {
  const { near, far } = openSocketPair('stream');
  try {
    const bytes = Buffer.from(JSON.stringify(order({ fd: far, inode: String(inodeOf(near)) })));
    if (bytes.length > MAX_ORDER_BYTES)
      throw new GodwitError('GW_TLS_FAILED', { peer, reason: 'its name is too long' });
    const outcome = sendAll(relay.ordersFd, bytes, { timeoutMs: ORDER_TIMEOUT_MS });
    if (outcome.kind === 'sent') return near;
    throw new GodwitError('GW_TLS_FAILED', { peer, reason: 'the threads that speak TLS take no order' });
  } catch (error) {
    closeFd(near);
    closeFd(far);
    throw asGodwitError(error);
  }
}
